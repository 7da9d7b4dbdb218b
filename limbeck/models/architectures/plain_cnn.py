"""A convolutional network without normalisation layers, for clients that hold few classes."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.models.base import kaiming_normal, register_builder, require_positive


@register_builder("plain_cnn")
def plain_cnn(width: int = 16, hidden: int = 64, classes: int = 10, channels: int = 1, size: int = 28) -> PlainCNN:
    """Two convolutions with pooling and two linear layers, [B, channels, size, size] → logits [B, classes].

    The kind of network of the first federated experiments (McMahan et al. 2017, 1602.05629). Statistics of BatchNorm layers, as
    `tiny_cnn` has them, differ between clients of other classes, and their mean fits none of them.

    Args:
        width: channels of the first convolution; the second has twice as many.
        hidden: units before the classifier.
        size: height and width of the images, 4 or more.

    Raises:
        ValueError: a number below one, or a size below 4.
    """
    require_positive(width=width, hidden=hidden, classes=classes, channels=channels)
    if size < 4:
        raise ValueError(f"size must be at least 4 pixels, got {size}")
    return PlainCNN(width, hidden, classes, channels, size)


class PlainCNN(nn.Module):
    """See `plain_cnn`. Taps: `layer1`, `layer2` (after pooling), `hidden`, `linear`."""

    def __init__(self, width: int, hidden: int, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.layer2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.hidden = nn.Sequential(nn.Linear(2 * width * (size // 4) ** 2, hidden), nn.ReLU())
        self.linear = nn.Linear(hidden, classes)
        self.apply(kaiming_normal)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.hidden(self.layer2(self.layer1(images)).flatten(1)))
        return logits
