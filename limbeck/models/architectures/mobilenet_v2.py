"""MobileNetV2, which also enlarges small images first."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.models.architectures.blocks import ConvNormAct, divisible
from limbeck.models.base import Normalize, Statistics, register_builder, require_positive


class Row(NamedTuple):
    """A row of table 2 of the paper: blocks of the same width, of which the first has the stride."""

    expansion: int
    channels: int
    blocks: int
    stride: int


ROWS = [
    Row(*numbers)
    for numbers in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
]
BLOCKS = sum(row.blocks for row in ROWS)
LAST = 1280  # channels before the pooling

SANDLER_2018 = """
    @inproceedings{sandler2018mobilenetv2,
        title = {{MobileNetV2}: Inverted Residuals and Linear Bottlenecks},
        author = {Sandler, Mark and Howard, Andrew and Zhu, Menglong and Zhmoginov, Andrey and Chen, Liang-Chieh},
        booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2018},
        eprint = {1801.04381},
        archiveprefix = {arXiv},
    }
"""


@register_builder("mobilenet_v2", cite=SANDLER_2018)
def mobilenet_v2(
    width: float = 1.0,
    classes: int = 1000,
    channels: int = 3,
    resize: int | None = None,
    dropout: float = 0.2,
    blocks: int = BLOCKS,
    mean: Statistics = None,
    std: Statistics = None,
) -> MobileNetV2:
    """MobileNetV2, [B, channels, H, W] in [0, 1] → logits [B, classes].

    3,504,872 parameters for 1000 classes and width 1. The keys of `state_dict` are torchvision's, so that its ImageNet weights
    load; with other classes by `load_weights(model, path, fresh_head=True)`.

    Args:
        width: factor of all channel counts, which are rounded to multiples of eight.
        resize: side in pixels to which images are resized inside the model, bilinearly; None: they are read as they are. The
            total downsampling is 32, so images of 32 pixels need some 96 for ImageNet weights to be of use.
        dropout: rate before the logits.
        blocks: the first of the 17; fewer are a smaller network, which starts from the same weights. Its head reads the last
            of them, without the 1×1 convolution `features.18`. 14 blocks for 384 classes: 759,616 parameters.
        mean, std: normalisation, see `Normalize`.

    Raises:
        ValueError: a width that is not positive, a `resize` below 32, `blocks` outside 1 to 17.

    Source: Sandler et al. 2018, table 2 (arXiv:1801.04381).
    """
    require_positive(classes=classes, channels=channels)
    if width <= 0:
        raise ValueError(f"width must be positive, got {width}")
    if resize is not None and resize < 32:
        raise ValueError(
            f"resize must be at least 32, the total downsampling, got {resize}; or None to read images as they are"
        )
    if not 1 <= blocks <= BLOCKS:
        raise ValueError(f"blocks must be from 1 to {BLOCKS}, the blocks of the whole network, got {blocks}")
    return MobileNetV2(width, classes, channels, resize, dropout, blocks, mean, std)


class MobileNetV2(nn.Module):
    """See `mobilenet_v2`. Taps: `features.0` (stem), `features.1` to `features.17` (blocks), `features.18`, `classifier`."""

    def __init__(
        self,
        width: float,
        classes: int,
        channels: int,
        resize: int | None,
        dropout: float,
        blocks: int,
        mean: Statistics,
        std: Statistics,
    ) -> None:
        super().__init__()
        inputs = divisible(32 * width)
        layers: list[nn.Module] = [ConvNormAct(channels, inputs, stride=2, activation=nn.ReLU6)]
        strides = [(row, row.stride if number == 0 else 1) for row in ROWS for number in range(row.blocks)]
        for row, stride in strides[:blocks]:
            outputs = divisible(row.channels * width)
            layers.append(LinearBottleneck(inputs, outputs, row.expansion, stride))
            inputs = outputs
        if blocks == BLOCKS:
            outputs = divisible(LAST * max(1.0, width))
            layers.append(ConvNormAct(inputs, outputs, 1, activation=nn.ReLU6))
            inputs = outputs
        self.resize = resize
        self.normalize = Normalize(channels, mean, std)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, classes))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.normalize(images)
        if self.resize is not None:
            x = F.interpolate(x, (self.resize, self.resize), mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(torch.mean(self.features(x), (2, 3)))
        return logits


class LinearBottleneck(nn.Module):
    """1×1 expansion, 3×3 depthwise convolution, linear 1×1 projection: [B, inputs, H, W] → [B, outputs, ⌈H/s⌉, ⌈W/s⌉].

    The input is added if the shapes agree. There is no expansion layer if `expansion` is 1.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormAct(inputs, inner, 1, activation=nn.ReLU6))
        layers.append(ConvNormAct(inner, inner, 3, stride, groups=inner, activation=nn.ReLU6))
        layers += [nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out + x if self.residual else out


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
