"""Colour jitter whose every step is exact: grey means are sums of integers, hue is piecewise linear."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.data.image.transform import KeyedGenerator, Transform, to_float, transforms

_FIXED_POINT = 1 << 16


@transforms.register("color_jitter")
class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue, changed in this order.

    The first three are factors drawn from [1 − x, 1 + x] (not below 0); hue is a turn drawn from [−x, x] of the colour
    circle, x at most 0.5. Saturation and hue leave images of one channel as they are.
    """

    name: ClassVar[str] = "color_jitter"

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0) -> None:
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if value < 0:
                raise ValueError(f"{name}={value}: expected 0 or more")
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue={hue}: expected a number from 0 to 0.5")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        images, drawn = to_float(images), generator.uniform(4)[:, :, None, None, None]
        in_colour = images.shape[1] == 3
        if self.brightness:
            images = (images * self._factor(drawn[:, 0], self.brightness)).clamp_(0, 1)
        if self.contrast:
            images = _blend(images, _mean_grey(images), self._factor(drawn[:, 1], self.contrast))
        if self.saturation and in_colour:
            images = _blend(images, _grey(images), self._factor(drawn[:, 2], self.saturation))
        if self.hue and in_colour:
            images = adjust_hue(images, drawn[:, 3, 0] * (2 * self.hue) - self.hue)
        return images

    def _factor(self, drawn: Tensor, spread: float) -> Tensor:
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
    # integers add up to the same sum in any order, floats do not
    fixed = (_grey(images) * _FIXED_POINT).round_().to(torch.int64)
    count = fixed[0].numel() * _FIXED_POINT
    return (fixed.sum(dim=(1, 2, 3), keepdim=True).double() / count).float()


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """RGB images with their hue moved by `turn` (in full circles, broadcastable to `[B, H, W]`), through HSV."""
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    chroma = value - lowest
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue + turn * 6
    return torch.stack([_channel(hue + offset, value, chroma) for offset in (5, 3, 1)], dim=1)


def _channel(sextant: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    # V − C · clamp(min(k, 4 − k), 0, 1) with k the sextant on a circle of six
    k = sextant - (sextant / 6).floor() * 6
    return value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
