"""MobileNetV3, small and large, for large images and, with less downsampling, for small ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from limbeck.models.architectures.blocks import ConvNormAct, InvertedResidual, divisible
from limbeck.models.base import Normalize, Statistics, register_builder, require_positive


class Row(NamedTuple):
    """One row of tables 1 and 2 of the paper."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    activation: type[nn.Module]
    stride: int


SE, NO, RE, HS = True, False, nn.ReLU, nn.Hardswish

TABLES = {
    "small": (
        Row(3, 16, 16, SE, RE, 2),
        Row(3, 72, 24, NO, RE, 2),
        Row(3, 88, 24, NO, RE, 1),
        Row(5, 96, 40, SE, HS, 2),
        Row(5, 240, 40, SE, HS, 1),
        Row(5, 240, 40, SE, HS, 1),
        Row(5, 120, 48, SE, HS, 1),
        Row(5, 144, 48, SE, HS, 1),
        Row(5, 288, 96, SE, HS, 2),
        Row(5, 576, 96, SE, HS, 1),
        Row(5, 576, 96, SE, HS, 1),
    ),
    "large": (
        Row(3, 16, 16, NO, RE, 1),
        Row(3, 64, 24, NO, RE, 2),
        Row(3, 72, 24, NO, RE, 1),
        Row(5, 72, 40, SE, RE, 2),
        Row(5, 120, 40, SE, RE, 1),
        Row(5, 120, 40, SE, RE, 1),
        Row(3, 240, 80, NO, HS, 2),
        Row(3, 200, 80, NO, HS, 1),
        Row(3, 184, 80, NO, HS, 1),
        Row(3, 184, 80, NO, HS, 1),
        Row(3, 480, 112, SE, HS, 1),
        Row(3, 672, 112, SE, HS, 1),
        Row(5, 672, 160, SE, HS, 2),
        Row(5, 960, 160, SE, HS, 1),
        Row(5, 960, 160, SE, HS, 1),
    ),
}
HIDDEN = {"small": 1024, "large": 1280}  # units of the layer before the logits
STRIDES = (1, 2, 4, 8, 16, 32)


@register_builder(
    "mobilenet_v3",
    cite="""
        @inproceedings{howard2019searching,
            title = {Searching for {MobileNetV3}},
            author = {Howard, Andrew and Sandler, Mark and Chu, Grace and Chen, Liang-Chieh and Chen, Bo and Tan, Mingxing and
                Wang, Weijun and Zhu, Yukun and Pang, Ruoming and Vasudevan, Vijay and Le, Quoc V. and Adam, Hartwig},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1905.02244},
            archiveprefix = {arXiv},
        }
    """,
)
def mobilenet_v3(
    variant: str = "small",
    width: float = 1.0,
    classes: int = 1000,
    channels: int = 3,
    stride: int = 32,
    dropout: float = 0.2,
    mean: Statistics = None,
    std: Statistics = None,
) -> MobileNetV3:
    """MobileNetV3, [B, channels, H, W] in [0, 1] → logits [B, classes].

    Parameters for 1000 classes and width 1: small 2,542,856; large 5,483,032.

    Args:
        variant: "small" or "large".
        width: factor of all channel counts, which are rounded to multiples of eight.
        stride: total downsampling, a power of two up to 32. 32 suits 224 pixels; 4 or 8 gives 8×8 or 4×4 feature maps for
            32-pixel images. The strided layers nearest to the input lose their stride first.
        dropout: rate before the logits.
        mean, std: normalisation, see `Normalize`.

    Raises:
        ValueError: an unknown variant or stride, a width that is not positive.

    Source: Howard et al. 2019, tables 1 and 2 (arXiv:1905.02244). The keys of `state_dict` are torchvision's.
    """
    require_positive(classes=classes, channels=channels)
    if variant not in TABLES:
        raise ValueError(f"variant must be 'small' or 'large', got {variant!r}")
    if stride not in STRIDES:
        raise ValueError(f"stride must be one of {STRIDES}, got {stride}")
    if width <= 0:
        raise ValueError(f"width must be positive, got {width}")
    return MobileNetV3(variant, width, classes, channels, stride, dropout, mean, std)


class MobileNetV3(nn.Module):
    """See `mobilenet_v3`. Taps: `features.0` (stem), `features.1`, … (blocks), `classifier`."""

    def __init__(
        self,
        variant: str,
        width: float,
        classes: int,
        channels: int,
        stride: int,
        dropout: float,
        mean: Statistics,
        std: Statistics,
    ) -> None:
        super().__init__()
        rows = TABLES[variant]
        stem_stride, *strides = _strides([2, *(row.stride for row in rows)], stride)
        inputs = divisible(16 * width)
        layers: list[nn.Module] = [ConvNormAct(channels, inputs, stride=stem_stride, activation=HS)]
        for row, block_stride in zip(rows, strides, strict=True):
            expanded, outputs = divisible(row.expanded * width), divisible(row.outputs * width)
            shape = (inputs, expanded, outputs, row.kernel, block_stride)
            layers.append(InvertedResidual(*shape, squeeze=row.squeeze, activation=row.activation))
            inputs = outputs
        layers.append(ConvNormAct(inputs, 6 * inputs, 1, activation=HS))
        hidden = divisible(HIDDEN[variant] * width)

        self.normalize = Normalize(channels, mean, std)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(6 * inputs, hidden), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.features(self.normalize(images))
        logits: Tensor = self.classifier(torch.mean(x, (2, 3)))
        return logits


def _strides(strides: list[int], total: int) -> list[int]:
    """Sets the first of `strides` to 1, so that their product is `total`."""
    product = 1
    kept = []
    for stride in reversed(strides):
        kept.append(stride if product * stride <= total else 1)
        product *= kept[-1]
    return kept[::-1]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        module.eps = 1e-3  # with torch's momentum; the paper's 0.01 averages over hundreds of steps, which short trainings lack
