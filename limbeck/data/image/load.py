"""`load_images`: a storage and keys for images, encoded or as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from torch import Tensor

from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.image.affine import Size
from limbeck.data.image.decode import decode_image
from limbeck.data.image.decoded_cache import DecodedCache
from limbeck.data.image.inspect import Headers, inspect_images
from limbeck.data.image.storage import EncodedImages, ImageStorage
from limbeck.data.storage import Storage, TensorStorage
from limbeck.utils.argument_types import require_whole

OnError = Literal["raise", "skip"]
MEMORY_LIMIT = 2 << 30


class MixedImagesError(ValueError):
    """Images of different sizes or channels, and no `size` or `channels` that all are brought to."""


@dataclass(frozen=True)
class LoadedImages:
    """The images that can be read.

    Attributes:
        keys: content keys, int64 `[N]`: hashes of the encoded bytes, and of the size and channels of images that are
            resized or converted; or of the pixels of arrays.
        rows: which of the sources they are, int64 `[N]`.
    """

    storage: Storage
    keys: Tensor
    rows: Tensor


def load_images(
    sources: Sequence[Any],
    describe: Callable[[int], str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    on_error: OnError = "raise",
    memory_limit: int = MEMORY_LIMIT,
) -> LoadedImages:
    """Reads what images have to be known by, and leaves their decoding to when they are needed.

    Bytes are hashed and headers are read, once for each file that does not change (`file_index`). An image that is damaged
    within, which its header and its end do not show, is found when it is decoded.

    Args:
        sources: bytes or paths.
        describe: returns the name of a row for messages.
        size: N for N×N, or (height, width): images are resized, then cropped around the centre. Default: images stay as they
            are and must be of one size.
        channels: 1 (grey) or 3 (RGB). Default: grey images stay grey, all others become RGB.
        on_error: "skip" leaves out images that do not decode, with a warning; each is decoded once to know.
        memory_limit: bytes of decoded pixels that are kept in memory; further images are decoded each time they are fetched.

    Raises:
        ValueError: images that cannot be read.
        MixedImagesError: images that differ in size or channels.
    """
    check_image_options(size, channels)
    require_whole("memory_limit", memory_limit, 0)
    headers = inspect_images(sources, decode=on_error == "skip")
    _raise_or_warn(headers.broken, describe, len(sources), on_error)
    whole = np.ones(len(sources), dtype=bool)
    whole[list(headers.broken)] = False
    rows = np.flatnonzero(whole)
    shape = _one_shape(headers, rows, describe, (size, size) if isinstance(size, int) else size, channels)
    sizes = torch.from_numpy(np.stack([headers.heights, headers.widths], axis=1))
    resized = bool((sizes[rows] != torch.tensor(shape[1:])).any())
    images = EncodedImages(sources, describe, shape, sizes, resized, headers.states, headers.hashes)
    storage = ImageStorage(images, DecodedCache(len(sources), shape, memory_limit), torch.from_numpy(rows))
    return LoadedImages(storage, _keys(headers, rows, shape), torch.from_numpy(rows))


def load_arrays(
    arrays: Iterable[NDArray[np.uint8]], size: int | tuple[int, int] | None = None, channels: int | None = None
) -> LoadedImages:
    """Images `[H, W]` or `[H, W, C]` in memory, resized and converted as `load_images` does."""
    check_image_options(size, channels)
    shape = (size, size) if isinstance(size, int) else size
    pixels = np.stack([decode_image(array, shape, channels) for array in arrays])
    keys = as_keys(content_key(image) for image in pixels)
    return LoadedImages(TensorStorage(torch.from_numpy(pixels)), keys, torch.arange(len(pixels)))


def check_image_options(size: int | tuple[int, int] | None, channels: int | None) -> None:
    """Raises a ValueError for a size or a number of channels that images are not decoded to."""
    sides = size if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or (size is not None and None in sides):
        raise ValueError(f"size={size!r}: expected a number of pixels, or (height, width)")
    for side in sides:
        require_whole("size", side, 1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels={channels!r}: expected 1 (grey) or 3 (RGB)")


def _one_shape(
    headers: Headers, rows: NDArray[np.int64], describe: Callable[[int], str], size: Size | None, channels: int | None
) -> tuple[int, int, int]:
    """Channels, height and width of all images.

    Raises:
        MixedImagesError: images that differ.
    """
    first = rows[0]
    grey = headers.grey[rows]
    if channels is None and (grey != grey[0]).any():
        row = rows[(grey != grey[0]).argmax()]
        counts = {True: 1, False: 3}
        raise MixedImagesError(
            f"{describe(row)} has {counts[bool(headers.grey[row])]} channels, {describe(first)} has "
            f"{counts[bool(grey[0])]}; set `channels: 3` or `channels: 1`"
        )
    own = int(headers.heights[first]), int(headers.widths[first])
    if size is None:
        other = (headers.heights[rows] != own[0]) | (headers.widths[rows] != own[1])
        if other.any():
            _raise_sizes(headers, rows[other.argmax()], describe, first)
    return channels or (1 if grey[0] else 3), *(size or own)


def _raise_sizes(headers: Headers, row: int, describe: Callable[[int], str], first: int) -> NoReturn:
    shown = [f"{describe(at)} is {headers.widths[at]}×{headers.heights[at]}" for at in (row, first)]
    raise MixedImagesError(
        f"{shown[0]} pixels, {shown[1]}; images of different sizes need `size: N`, for instance "
        f"`size: {min(headers.heights[first], headers.widths[first])}`"
    )


def _keys(headers: Headers, rows: NDArray[np.int64], shape: tuple[int, int, int]) -> Tensor:
    """Hashes of the bytes; where decoding resizes or converts, of that too, since the same bytes give other inputs."""
    keys = headers.hashes[rows].copy()
    resized = (headers.heights[rows] != shape[1]) | (headers.widths[rows] != shape[2])
    changed = np.flatnonzero(resized | (headers.grey[rows] != (shape[0] == 1)))
    to = "{}x{}x{}".format(*shape).encode()
    keys[changed] = [content_key(key.tobytes(), to) for key in keys[changed]]
    return torch.from_numpy(keys)


def _raise_or_warn(broken: dict[int, Exception], describe: Callable[[int], str], total: int, on_error: OnError) -> None:
    if not broken:
        return
    row, error = next(iter(broken.items()))
    found = f"{len(broken)} of {total} images do not decode, the first at {describe(row)}: {_reason(error)}"
    if on_error == "raise":
        raise ValueError(f"{found}; repair them, or set `on_error: skip` to leave such rows out (not with fields:)")
    if len(broken) == total:
        raise ValueError(f"no image decodes; {found}")
    warnings.warn(f"{found}; these rows are left out", stacklevel=4)


def _reason(error: Exception) -> str:
    """Why an image does not decode; Pillow's words for an unknown format name an object in memory."""
    return "its bytes are no image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
