"""Decodes images with Pillow into uint8 tensors of one size and number of channels."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.storage import EncodedStorage, Storage, TensorStorage
from limbeck.utils.progress_bar import show_progress

OnError = Literal["raise", "skip"]
MEMORY_LIMIT = 2 << 30
_MODES = {1: "L", 3: "RGB"}
_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L"}
_ORIENTATION = 0x0112
_MIN_THREADED_SIZE = 1 << 16  # values of an image; smaller ones spend their time in Python, where threads only wait


@dataclass(frozen=True)
class DecodedImages:
    """The images that were decoded.

    Attributes:
        keys: content keys, hashes of the decoded pixels, int64 `[N]`.
        rows: which of the sources were decoded, int64 `[N]`.
    """

    storage: Storage
    keys: Tensor
    rows: Tensor


def decode_images(
    sources: Sequence[Any],
    describe: Callable[[int], str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    on_error: OnError = "raise",
    memory_limit: int = MEMORY_LIMIT,
) -> DecodedImages:
    """Decode every source once, and keep the pixels in memory if they fit the limit.

    Every image is decoded even if its pixels are not kept: its key is a hash of them, and a broken image is found now instead
    of during training.

    Args:
        sources: bytes, paths, or uint8 arrays `[H, W]` or `[H, W, C]`.
        describe: returns the name of a row for messages.
        size: N for N×N, or (height, width): images are resized, then cropped around the centre. Default: images stay as they
            are and must be of one size.
        channels: 1 (grey) or 3 (RGB). Default: grey images stay grey, all others become RGB.
        on_error: "skip" leaves out images that do not decode, with a warning.
        memory_limit: bytes of decoded pixels that are kept in memory; larger sets are decoded again when they are fetched.

    Raises:
        ValueError: images that do not decode, or that differ in size or channels.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels={channels}: expected 1 (grey) or 3 (RGB)")
    shape = (size, size) if isinstance(size, int) else size
    decode = partial(decode_image, size=shape, channels=channels)
    pixels: NDArray[np.uint8] | None = None
    expected: tuple[int, ...] | None = None
    keys: list[int] = []
    kept: list[int] = []
    broken: list[tuple[int, Exception]] = []
    for row, image in enumerate(show_progress(_decode_all(decode, sources), "decoding images", len(sources))):
        if isinstance(image, Exception):
            broken.append((row, image))
            continue
        if expected is None:
            expected = image.shape
            if len(sources) * image.size <= memory_limit:
                pixels = np.empty((len(sources), *expected), dtype=np.uint8)
        if image.shape != expected:
            _raise_shape_mismatch(image.shape, expected, describe(row), describe(kept[0]))
        if pixels is not None:
            pixels[len(kept)] = image
        keys.append(content_key(image))
        kept.append(row)
    _raise_or_warn(broken, describe, len(sources), on_error)
    rows = torch.tensor(kept, dtype=torch.int64)
    if pixels is not None:
        return DecodedImages(TensorStorage(torch.from_numpy(pixels[: len(kept)])), as_keys(keys), rows)
    return DecodedImages(EncodedStorage([sources[row] for row in kept], decode), as_keys(keys), rows)


def decode_image(source: Any, size: tuple[int, int] | None, channels: int | None) -> NDArray[np.uint8]:
    """One image as uint8 `[C, H, W]`, upright, resized and cropped around its centre to `size` (height, width)."""
    if isinstance(source, np.ndarray):
        return to_array(Image.fromarray(source), size, channels)
    if source is None:
        raise ValueError("the cell is empty")
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return to_array(image, size, channels)


def to_array(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> NDArray[np.uint8]:
    """A Pillow image as uint8 `[C, H, W]`; see `decode_image`."""
    if image.mode in _DEEP:
        raise ValueError(f"its pixels ({image.mode}) are not 8 bits deep; convert it to an 8-bit image")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    mode = _MODES[channels or (1 if image.mode in _GREY else 3)]
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.array(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def _decode_all(decode: Callable[[Any], NDArray[np.uint8]], sources: Sequence[Any]) -> Iterator[Any]:
    """Decoded arrays in order; an image that fails gives its exception."""

    def attempt(source: Any) -> Any:
        try:
            return decode(source)
        except Exception as error:  # Pillow raises whatever its codecs raise
            return error

    if not sources:
        return
    threads = os.cpu_count() or 1
    first = attempt(sources[0])
    if threads == 1 or isinstance(first, Exception) or first.size < _MIN_THREADED_SIZE:
        yield from map(attempt, sources)
        return
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(sources), 256):  # in chunks, so that few decoded images wait in memory
            yield from pool.map(attempt, sources[start : start + 256])


def _raise_shape_mismatch(shape: tuple[int, ...], first: tuple[int, ...], name: str, first_name: str) -> NoReturn:
    if shape[0] != first[0]:
        raise ValueError(f"{name} has {shape[0]} channels, {first_name} has {first[0]}; set `channels: 3` or `channels: 1`")
    raise ValueError(
        f"{name} is {shape[2]}×{shape[1]} pixels, {first_name} is {first[2]}×{first[1]}; images of different sizes "
        f"need `size: N`, for instance `size: {min(first[1:])}`"
    )


def _raise_or_warn(broken: list[tuple[int, Exception]], describe: Callable[[int], str], total: int, on_error: OnError) -> None:
    if not broken:
        return
    row, error = broken[0]
    found = f"{len(broken)} of {total} images do not decode, the first at {describe(row)}: {error}"
    if on_error == "raise":
        raise ValueError(f"{found}; repair them, or set `on_error: skip` to leave such rows out")
    if len(broken) == total:
        raise ValueError(f"no image decodes; {found}")
    warnings.warn(f"{found}; these rows are left out", stacklevel=4)
