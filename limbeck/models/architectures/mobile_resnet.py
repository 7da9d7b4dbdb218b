"""A ResNet of inverted residuals for 32-pixel images, with few parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.models.architectures.blocks import ConvNormAct, InvertedResidual
from limbeck.models.architectures.mobilenet_v2 import SANDLER_2018
from limbeck.models.base import Normalize, Statistics, kaiming_normal, register_builder, require_positive


@register_builder("mobile_resnet", cite=SANDLER_2018)
def mobile_resnet(
    widths: Sequence[int] = (16, 28, 48),
    blocks: Sequence[int] = (2, 3, 3),
    expansion: int = 3,
    squeeze: bool = False,
    classes: int = 10,
    channels: int = 3,
    mean: Statistics = None,
    std: Statistics = None,
) -> MobileResNet:
    """Three stages of inverted residuals, [B, channels, H, W] in [0, 1] → logits [B, classes]; total stride 4.

    The structure is that of the CIFAR ResNet with depthwise convolutions: a block has 2·expansion·width² parameters instead
    of 18·width². The default model has 64,270. Depthwise convolutions are slow to train on a CPU, at about a quarter of the
    speed of a `resnet_cifar` of this size; the model suits small files and devices with fast depthwise convolutions.

    Args:
        widths: channels of the three stages.
        blocks: inverted residuals per stage.
        expansion: factor from the input channels of a block to those inside.
        squeeze: whether every block has squeeze-and-excitation.
        mean, std: normalisation, see `Normalize`.

    Raises:
        ValueError: not three stages, or a number below one.

    Source: Sandler et al. 2018 (arXiv:1801.04381), in the structure of He et al. 2015 (arXiv:1512.03385).
    """
    require_positive(expansion=expansion, classes=classes, channels=channels)
    if len(widths) != 3 or len(blocks) != 3 or min(*widths, *blocks) < 1:
        raise ValueError(f"widths and blocks must be three positive numbers, got {list(widths)} and {list(blocks)}")
    return MobileResNet(widths, blocks, expansion, squeeze, classes, channels, mean, std)


class MobileResNet(nn.Module):
    """See `mobile_resnet`. Taps: `stem`, `layer1`, `layer2`, `layer3`, `layer2.0`, …, `linear`."""

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        expansion: int,
        squeeze: bool,
        classes: int,
        channels: int,
        mean: Statistics,
        std: Statistics,
    ) -> None:
        super().__init__()
        a, b, c = widths

        def stage(inputs: int, outputs: int, count: int, stride: int) -> nn.Sequential:
            plan = [(inputs, stride)] + [(outputs, 1)] * (count - 1)
            residuals = [InvertedResidual(i, expansion * i, outputs, 3, s, squeeze) for i, s in plan]
            return nn.Sequential(*residuals)

        self.normalize = Normalize(channels, mean, std)
        self.stem = ConvNormAct(channels, a)
        self.layer1 = stage(a, a, blocks[0], 1)
        self.layer2 = stage(a, b, blocks[1], 2)
        self.layer3 = stage(b, c, blocks[2], 2)
        self.head = ConvNormAct(c, 2 * c, 1)
        self.linear = nn.Linear(2 * c, classes)
        self.apply(kaiming_normal)

    def forward(self, images: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(self.normalize(images)))))
        logits: Tensor = self.linear(torch.mean(self.head(x), (2, 3)))
        return logits
