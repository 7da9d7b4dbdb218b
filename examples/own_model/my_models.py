"""A network of your own, wide as a teacher and narrow as a student. It does not depend on Limbeck."""

from torch import Tensor, nn


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Net(nn.Module):
    """Grey images [B, 1, H, W] in [0, 1] to logits [B, classes]."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.stage1 = block(1, width)
        self.stage2 = nn.Sequential(block(width, 2 * width, stride=2), block(2 * width, 2 * width))
        self.stage3 = nn.Sequential(block(2 * width, 4 * width, stride=2), block(4 * width, 4 * width))
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        normalised = (images - 0.5) / 0.5  # inside the network, so that the exported file includes it
        maps = self.stage3(self.stage2(self.stage1(normalised)))
        return self.head(maps.mean((2, 3)))


def make_teacher(classes: int = 10) -> nn.Module:
    return Net(width=32, classes=classes)


def make_student(classes: int = 10) -> nn.Module:
    return Net(width=8, classes=classes)
