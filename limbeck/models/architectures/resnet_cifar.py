"""The CIFAR ResNet: three stages of basic blocks with parameter-free shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.models.base import Normalize, Statistics, kaiming_normal, register_builder, require_positive


@register_builder(
    "resnet_cifar",
    cite="""
        @inproceedings{he2016deep,
            title = {Deep Residual Learning for Image Recognition},
            author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
            booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
            year = {2016},
            eprint = {1512.03385},
            archiveprefix = {arXiv},
        }
    """,
)
def resnet_cifar(
    depth: int = 20,
    width: int = 16,
    classes: int = 10,
    channels: int = 3,
    widths: Sequence[int] | None = None,
    mean: Statistics = None,
    std: Statistics = None,
) -> ResNetCifar:
    """A ResNet for small images, [B, channels, H, W] in [0, 1] → logits [B, classes].

    Parameters for 10 classes and width 16: depth 8 75,290; 20 269,722; 56 853,018; 110 1,727,962.
    Deeper with about as many as depth 8: depth 20, widths (8, 18, 36) 84,830; depth 14, widths (8, 24, 40) 72,642; depth 14,
    widths (16, 24, 40) 81,578. Widths that are multiples of eight run faster than their number of parameters suggests.

    Args:
        depth: 6n + 2 from 8 to 110, n blocks in each of the three stages.
        width: channels of the first stage; the others have twice and four times as many.
        widths: channels of the three stages, not decreasing; overrides `width`.
        mean, std: normalisation, see `Normalize`.

    Raises:
        ValueError: an invalid depth (the message has the two nearest); widths that are not three or that decrease.

    Source: He et al. 2015, section 4.2 (arXiv:1512.03385), shortcut A.
    """
    require_positive(width=width, classes=classes, channels=channels)
    return ResNetCifar(_blocks_per_stage(depth), widths or (width, 2 * width, 4 * width), classes, channels, mean, std)


class ResNetCifar(nn.Module):
    """See `resnet_cifar`. Taps: `conv1`, `layer1`, `layer2`, `layer3`, `layer2.0`, …, `linear`."""

    def __init__(
        self, blocks: int, widths: Sequence[int], classes: int, channels: int, mean: Statistics, std: Statistics
    ) -> None:
        super().__init__()
        if len(widths) != 3 or min(widths) < 1 or sorted(widths) != list(widths):
            raise ValueError(f"widths must be three positive numbers that do not decrease, got {list(widths)}")
        a, b, c = widths
        self.normalize = Normalize(channels, mean, std)
        self.conv1 = nn.Conv2d(channels, a, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.layer1 = _stage(a, a, blocks, stride=1)
        self.layer2 = _stage(a, b, blocks, stride=2)
        self.layer3 = _stage(b, c, blocks, stride=2)
        self.linear = nn.Linear(c, classes)
        self.apply(kaiming_normal)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.normalize(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: [B, inputs, H, W] → [B, outputs, ⌈H/stride⌉, ⌈W/stride⌉]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else PaddedShortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class PaddedShortcut(nn.Module):
    """Shortcut A: every `stride`-th pixel, with zero channels added on both sides; an odd one is added last.

    The slice is a view, so that the padding is the only copy.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def _blocks_per_stage(depth: int) -> int:
    valid = range(8, 111, 6)
    if depth not in valid:
        low, high = sorted(sorted(valid, key=lambda known: abs(known - depth))[:2])
        raise ValueError(f"depth must be 6n + 2 from 8 to 110, got {depth}; nearest: {low} and {high}")
    return (depth - 2) // 6
