"""Small PNG pictures of image tensors, as data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_BYTES = 5_700  # of one PNG: in base64, 24 of them stay under 200 kB
_SIDES = (96, 72, 48, 32)


def thumbnail(image: Tensor) -> str:
    """A PNG data URI of an image [C, H, W], at most 96 pixels a side and 5,700 bytes.

    Reduces the number of colours first, then the size. Of other than three channels the first is shown; float values outside
    [0, 1] are rescaled to it.
    """
    from PIL import Image

    picture = Image.fromarray(_as_bytes(image))
    for side in _SIDES:
        small = picture.copy()
        small.thumbnail((side, side))
        for shown in (small, small.quantize(64), small.quantize(16)):
            file = io.BytesIO()
            shown.save(file, "PNG", optimize=True)
            if file.tell() <= MAX_BYTES:
                return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    raise AssertionError("a picture of 32 × 32 pixels and 16 colours is small enough")


def _as_bytes(image: Tensor) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] of uint8."""
    channels = image if image.shape[0] == 3 else image[:1]
    if channels.dtype != torch.uint8:
        values = torch.nan_to_num(channels.float())
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1.0)
        channels = ((values - low) / (high - low) * 255).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = channels.permute(1, 2, 0).contiguous().numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
