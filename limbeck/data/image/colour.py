"""Colour jitter with exact steps: means of grey values are sums of integers, and hue is piecewise linear."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.data.image.transform import Transform, to_float, transforms
from limbeck.data.keyed_random import KeyedGenerator
from limbeck.utils.finite import require_finite

_FIXED_POINT = 1 << 16


@transforms.register("color_jitter")
class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
        brightness, contrast, saturation: x of a factor drawn from [1 − x, 1 + x], not below 0.
        hue: x of a rotation of the colour circle drawn from [−x, x], in turns; at most 0.5.

    Saturation and hue leave images of one channel unchanged.
    """

    name: ClassVar[str] = "color_jitter"
    in_place: ClassVar[bool] = True

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0) -> None:
        require_finite(self.name, {"brightness": brightness, "contrast": contrast, "saturation": saturation})
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if value < 0:
                raise ValueError(f"{name}={value}: expected 0 or more")
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue={hue}: expected a number from 0 to 0.5")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        images, drawn = to_float(images), generator.uniform(4)[:, :, None, None, None]
        is_rgb = images.shape[1] == 3
        if self.brightness:
            images = (images * _factor(drawn[:, 0], self.brightness)).clamp_(0, 1)
        if self.contrast:
            images = _blend(images, _mean_grey(images), _factor(drawn[:, 1], self.contrast))
        if self.saturation and is_rgb:
            images = _blend(images, _grey(images), _factor(drawn[:, 2], self.saturation))
        if self.hue and is_rgb:
            images = adjust_hue(images, drawn[:, 3, 0] * (2 * self.hue) - self.hue)
        return images


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """RGB images with their hue rotated through HSV, by full circles broadcastable to `[B, H, W]`."""
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    chroma = value - lowest
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue + turns * 6
    return torch.stack([_channel(hue + offset, value, chroma) for offset in (5, 3, 1)], dim=1)


def _factor(drawn: Tensor, spread: float) -> Tensor:
    low, high = max(0.0, 1 - spread), 1 + spread
    return drawn * (high - low) + low


def _blend(images: Tensor, base: Tensor, share: Tensor) -> Tensor:
    return (images * share + base * (1 - share)).clamp_(0, 1)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    return (red * 0.299 + green * 0.587 + blue * 0.114)[:, None]


def _mean_grey(images: Tensor) -> Tensor:
    # sums of integers do not depend on the order of summation, sums of floats do
    fixed = (_grey(images) * _FIXED_POINT).round_().to(torch.int64)
    count = fixed[0].numel() * _FIXED_POINT
    return (fixed.sum(dim=(1, 2, 3), keepdim=True).double() / count).float()


def _channel(sextant: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    # V − C · clamp(min(k, 4 − k), 0, 1), where k is the sextant modulo 6
    k = sextant - (sextant / 6).floor() * 6
    return value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
