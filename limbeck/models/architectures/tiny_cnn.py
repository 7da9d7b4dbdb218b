"""A plain convolutional network for small images, as a student or, with more width, a teacher."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.models.architectures.blocks import ConvNormAct
from limbeck.models.base import Normalize, Statistics, kaiming_normal, register_builder, require_positive


@register_builder("tiny_cnn")
def tiny_cnn(
    width: int = 16,
    classes: int = 10,
    channels: int = 1,
    size: int = 28,
    blocks: int = 1,
    separable: bool = False,
    mean: Statistics = None,
    std: Statistics = None,
) -> TinyCNN:
    """Three stages of convolutions, [B, channels, H, W] in [0, 1] → logits [B, classes].

    Args:
        width: channels of the first stage; the others have twice and four times as many.
        size: height and width of the images, 8 or more. It sets which stages halve the resolution, so that 4 to 12 pixels
            remain: below 16 the second, below 48 the second and third, otherwise all three. The model accepts other sizes
            too, by its global average pooling.
        blocks: convolutions per stage.
        separable: whether all convolutions but the first are depthwise 3×3 and pointwise 1×1, with about an eighth of the
            parameters.
        mean, std: normalisation, see `Normalize`.

    Raises:
        ValueError: a number below one, or a size below 8.
    """
    require_positive(width=width, classes=classes, channels=channels, blocks=blocks)
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    return TinyCNN(width, classes, channels, size, blocks, separable, mean, std)


class TinyCNN(nn.Module):
    """See `tiny_cnn`. Taps: `layer1`, `layer2`, `layer3`, `layer1.0`, …, `linear`."""

    def __init__(
        self,
        width: int,
        classes: int,
        channels: int,
        size: int,
        blocks: int,
        separable: bool,
        mean: Statistics,
        std: Statistics,
    ) -> None:
        super().__init__()
        halves = (size >= 48, True, size >= 16)
        plan = [(channels, width), (width, 2 * width), (2 * width, 4 * width)]
        self.normalize = Normalize(channels, mean, std)
        self.layer1, self.layer2, self.layer3 = (
            _stage(inputs, outputs, blocks, 1 + half, separable, first=index == 0)
            for index, ((inputs, outputs), half) in enumerate(zip(plan, halves, strict=True))
        )
        self.linear = nn.Linear(4 * width, classes)
        self.apply(kaiming_normal)

    def forward(self, images: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.normalize(images))))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int, separable: bool, first: bool) -> nn.Sequential:
    """Builds a stage. The first convolution of the network is never separable: one to three input channels save nothing."""
    plan = [(inputs, stride)] + [(outputs, 1)] * (blocks - 1)
    return nn.Sequential(
        *(
            _separable(i, outputs, s) if separable and not (first and index == 0) else ConvNormAct(i, outputs, stride=s)
            for index, (i, s) in enumerate(plan)
        )
    )


def _separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(inputs, inputs, stride=stride, groups=inputs), ConvNormAct(inputs, outputs, 1))
