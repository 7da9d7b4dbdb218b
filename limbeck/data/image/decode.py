"""Decodes images with Pillow into uint8 arrays of one size and number of channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from limbeck.data.archive_member import as_file
from limbeck.data.image.affine import Size

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""

_MODES = {1: "L", 3: "RGB"}
_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L"}
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange height and width
REDUCING_GAP = 2  # a JPEG is decoded at a reduced size that is at least so many times the size wanted


def open_image(source: Any) -> Image.Image:
    """Opens an image without decoding it.

    Args:
        source: bytes, a path, a member of an archive, or a uint8 array `[H, W]` or `[H, W, C]`.
    """
    if source is None:
        raise ValueError("the cell is empty")
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    return Image.open(as_file(source))


def decode_image(source: Any, size: Size | None, channels: int | None, box: Box | None = None) -> NDArray[np.uint8]:
    """One image as uint8 `[C, H, W]`, upright.

    Args:
        source: see `open_image`.
        size: height and width that it is resized to, after it is cropped around its centre to their ratio, or to `box`.
        channels: 1 (grey) or 3 (RGB); None: grey images stay grey, all others become RGB.
        box: the part that is kept, in pixels of the upright image.
    """
    with open_image(source) as image:
        return to_array(image, size, channels, box)


def to_array(image: Image.Image, size: Size | None, channels: int | None, box: Box | None = None) -> NDArray[np.uint8]:
    """A Pillow image as uint8 `[C, H, W]`; see `decode_image`."""
    refuse_deep(image)
    full = image.size
    if size is not None:
        _reduce(image, size, box)
    scale = image.size[0] / full[0], image.size[1] / full[1]
    if orientation(image) != 1:
        scale = scale[::-1] if orientation(image) in _SIDEWAYS else scale
        image = ImageOps.exif_transpose(image)
    mode = _MODES[channels or (1 if is_grey(image) else 3)]
    if image.mode != mode:
        image = image.convert(mode)
    if box is not None:
        assert size is not None
        top, left, height, width = box
        corners = left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1]
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=corners)
    elif size is not None and image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.array(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def upright_size(image: Image.Image) -> Size:
    """Height and width of the image once it is upright."""
    width, height = image.size
    return (width, height) if orientation(image) in _SIDEWAYS else (height, width)


def orientation(image: Image.Image) -> int:
    """How the image is to be turned, as EXIF counts it; 1: not at all."""
    return int(image.getexif().get(_ORIENTATION, 1))


def is_grey(image: Image.Image) -> bool:
    """Whether the image has one channel, or one and transparency."""
    return image.mode in _GREY


def refuse_deep(image: Image.Image) -> None:
    """Raises a ValueError for an image of more than 8 bits."""
    if image.mode in _DEEP:
        raise ValueError(f"its pixels ({image.mode}) are not 8 bits deep; convert it to an 8-bit image")


def _reduce(image: Image.Image, size: Size, box: Box | None) -> None:
    """Lets a JPEG that is much larger than what is wanted be decoded at a half, a quarter or an eighth of its size."""
    height, width = (box[2], box[3]) if box is not None else upright_size(image)
    ratio = min(height / size[0], width / size[1]) / REDUCING_GAP
    if ratio >= 2:
        image.draft(None, (math.ceil(image.size[0] / ratio), math.ceil(image.size[1] / ratio)))
