"""Encoded images to one uint8 tensor: Pillow does the decoding, this file the agreement on size and channels."""

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
from limbeck.data.storage import EncodedImageStorage, Storage, TensorStorage
from limbeck.utils.progress_bar import show_progress

OnError = Literal["raise", "skip"]
MEMORY_LIMIT = 2 << 30
_MODES = {1: "L", 3: "RGB"}
_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L"}
_ORIENTATION = 0x0112
_WORTH_A_THREAD = 1 << 16  # smaller images spend their time in Python, where threads only wait for each other


@dataclass(frozen=True)
class DecodedImages:
    """What came of a list of encoded images; `rows` are those whose image decoded."""

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
    """Decode every source (bytes, a path, an array `[H, W]` or `[H, W, C]`) once; keep the pixels if they fit the limit.

    Every image is decoded even if its pixels are not kept, since its key is a hash of them, and so that a broken image
    is found now and not in the middle of a training. `describe(row)` names a row in messages.
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
            _disagree(image.shape, expected, describe(row), describe(kept[0]))
        if pixels is not None:
            pixels[len(kept)] = image
        keys.append(content_key(image))
        kept.append(row)
    _report(broken, describe, len(sources), on_error)
    rows = torch.tensor(kept, dtype=torch.int64)
    if pixels is not None:
        return DecodedImages(TensorStorage(torch.from_numpy(pixels[: len(kept)])), as_keys(keys), rows)
    return DecodedImages(EncodedImageStorage([sources[row] for row in kept], decode), as_keys(keys), rows)


def decode_image(source: Any, size: tuple[int, int] | None, channels: int | None) -> NDArray[np.uint8]:
    """One image as uint8 `[C, H, W]`, upright; `size` (height, width) is reached by resizing and cropping the centre."""
    if isinstance(source, np.ndarray):
        return to_array(Image.fromarray(source), size, channels)
    if source is None:
        raise ValueError("the cell is empty")
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return to_array(image, size, channels)


def to_array(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> NDArray[np.uint8]:
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
    """Arrays in order, an exception in place of each image that fails."""

    def attempt(source: Any) -> Any:
        try:
            return decode(source)
        except Exception as error:  # Pillow raises whatever its codecs raise
            return error

    if not sources:
        return
    threads = os.cpu_count() or 1
    first = attempt(sources[0])
    if threads == 1 or isinstance(first, Exception) or first.size < _WORTH_A_THREAD:
        yield from map(attempt, sources)
        return
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(sources), 256):  # in pieces, so that few decoded images wait in memory
            yield from pool.map(attempt, sources[start : start + 256])


def _disagree(shape: tuple[int, ...], first: tuple[int, ...], name: str, first_name: str) -> NoReturn:
    if shape[0] != first[0]:
        raise ValueError(f"{name} has {shape[0]} channels, {first_name} has {first[0]}; set `channels: 3` or `channels: 1`")
    raise ValueError(
        f"{name} is {shape[2]}×{shape[1]} pixels, {first_name} is {first[2]}×{first[1]}; images of different sizes "
        f"need `size: N`, for instance `size: {min(first[1:])}`"
    )


def _report(broken: list[tuple[int, Exception]], describe: Callable[[int], str], total: int, on_error: OnError) -> None:
    if not broken:
        return
    row, error = broken[0]
    found = f"{len(broken)} of {total} images do not decode, the first at {describe(row)}: {error}"
    if on_error == "raise":
        raise ValueError(f"{found}; repair them, or set `on_error: skip` to leave such rows out")
    if len(broken) == total:
        raise ValueError(f"no image decodes; {found}")
    warnings.warn(f"{found}; these rows are left out", stacklevel=4)
