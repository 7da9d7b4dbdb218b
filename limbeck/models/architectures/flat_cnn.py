"""A convolutional network whose classifier reads the flattened maps, with BatchNorm."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.models.architectures.blocks import ConvNormAct
from limbeck.models.base import register_builder, require_positive


@register_builder("flat_cnn")
def flat_cnn(width: int = 16, classes: int = 10, channels: int = 1, size: int = 28) -> FlatCNN:
    """Three convolutions with BatchNorm, two poolings and a linear layer, [B, channels, size, size] → logits [B, classes].

    Its classifier reads the places of the last maps, as LeNet's does (LeCun et al. 1998), where that of `tiny_cnn` reads their
    mean. Means of noise are nearly the same for all inputs and places are not, so that made inputs show a student more of what
    such a teacher knows.

    Args:
        width: channels of the first convolution; the others have twice as many.
        size: height and width of the images, 4 or more.

    Raises:
        ValueError: a number below one, or a size below 4.
    """
    require_positive(width=width, classes=classes, channels=channels)
    if size < 4:
        raise ValueError(f"size must be at least 4 pixels, got {size}")
    return FlatCNN(width, classes, channels, size)


class FlatCNN(nn.Module):
    """See `flat_cnn`. Taps: `layer1`, `layer2` and `layer3` (both after pooling), `linear`."""

    def __init__(self, width: int, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.layer1 = ConvNormAct(channels, width)
        self.layer2 = nn.Sequential(ConvNormAct(width, 2 * width), nn.MaxPool2d(2))
        self.layer3 = nn.Sequential(ConvNormAct(2 * width, 2 * width), nn.MaxPool2d(2))
        self.linear = nn.Linear(2 * width * (size // 4) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.layer3(self.layer2(self.layer1(images))).flatten(1))
        return logits
