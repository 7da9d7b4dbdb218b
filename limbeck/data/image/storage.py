"""`ImageStorage`: encoded images that are decoded when they are fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.archive_member import as_bytes
from limbeck.data.content_keys import content_key
from limbeck.data.image.affine import Size
from limbeck.data.image.decode import Box, decode_image
from limbeck.data.image.decoded_cache import DecodedCache
from limbeck.data.image.file_index import NO_FILE, file_of, file_state, place_of
from limbeck.data.storage import Storage
from limbeck.data.workers import own_cores

_MIN_THREADED_SIZE = 1 << 14  # values of an image; smaller ones spend their time in Python, where threads only wait


@dataclass(frozen=True)
class EncodedImages:
    """What images are decoded from.

    Attributes:
        sources: bytes or paths, by row.
        describe: returns the name of a row for messages.
        shape: channels, height and width that they are decoded to.
        sizes: upright height and width of each as it is stored, int64 `[N, 2]`.
        resized: whether some of those that can be read are of another size than they are decoded to.
        states: of the file of each, when its bytes were read; see `file_index`.
        hashes: of these bytes.
    """

    sources: Sequence[Any]
    describe: Callable[[int], str]
    shape: tuple[int, int, int]
    sizes: Tensor
    resized: bool
    states: NDArray[np.int64]
    hashes: NDArray[np.int64]

    def decode(self, row: int, size: Size | None = None, box: Box | None = None) -> NDArray[np.uint8]:
        """One image; see `decode_image`.

        Raises:
            ValueError: an image that turns out to be damaged, or whose file has changed, with its name.
        """
        self._check_file(row)
        try:
            return decode_image(self.sources[row], size or self.shape[1:], self.shape[0], box)
        except Exception as error:  # Pillow raises whatever its codecs raise
            raise ValueError(
                f"{self.describe(row)} does not decode: {error}; repair it, or set `on_error: skip` to leave such images out "
                "(not with fields:)"
            ) from error

    def _check_file(self, row: int) -> None:
        """What is cached of an image belongs to the bytes that it had; another image in its place would get the old outputs."""
        source = self.sources[row]
        if (place := place_of(source)) is None:
            return
        file = file_of(place)
        now = file_state(file)
        if now == tuple(self.states[row]):
            return
        if now == NO_FILE or content_key(as_bytes(source)) != self.hashes[row]:
            became = "is gone" if now == NO_FILE else "has changed"
            raise ValueError(f"{file} {became} since its images were read; start again when the data no longer change")


class ImageStorage(Storage):
    """Encoded images; the first of them stay in memory once they are decoded, as many as the cache holds.

    A selection is a view: it shares the sources and the cache.
    """

    def __init__(self, images: EncodedImages, cache: DecodedCache, rows: Tensor) -> None:
        self._images, self._cache, self._rows = images, cache, rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def in_memory(self) -> bool:
        return self._cache.holds_all

    def fetch(self, rows: Tensor) -> Tensor:
        rows = self._rows[rows]
        kept = self._cache.has(rows)
        if bool(kept.all()):
            return self._cache.read(rows)
        missing = rows[~kept]
        decoded = _stacked(self._map(self._images.decode, missing.tolist()))
        self._cache.add(missing, decoded)
        if not bool(kept.any()):
            return decoded
        images = decoded.new_empty(len(rows), *self._images.shape)
        images[kept], images[~kept] = self._cache.read(rows[kept]), decoded
        return images

    def select(self, rows: Tensor) -> ImageStorage:
        return ImageStorage(self._images, self._cache, self._rows[rows])

    def originals(self, rows: Tensor) -> Tensor | OriginalImages:
        """The images before they are resized, if some are larger or smaller; else what `fetch` returns."""
        return OriginalImages(self, rows) if self._images.resized else self.fetch(rows)

    def sizes(self, rows: Tensor) -> Tensor:
        """Height and width of each image before it is resized, int64 `[B, 2]`."""
        return self._images.sizes[self._rows[rows]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a fetched image."""
        return self._images.shape

    def crop(self, rows: Tensor, boxes: Sequence[Box], size: Size) -> Tensor:
        """Boxes of the images before they are resized, resized to one size, uint8 `[B, C, H, W]`."""
        wanted = zip(self._rows[rows].tolist(), boxes, strict=True)
        return _stacked(self._map(lambda one: self._images.decode(one[0], size, one[1]), list(wanted)))

    def _map(self, decode: Callable[[Any], NDArray[np.uint8]], wanted: Sequence[Any]) -> Iterator[NDArray[np.uint8]]:
        threads = 1 if np.prod(self._images.shape) < _MIN_THREADED_SIZE else min(own_cores(), len(wanted))
        if threads <= 1:
            yield from map(decode, wanted)
            return
        with ThreadPoolExecutor(threads) as pool:  # Pillow releases the interpreter's lock while it decodes
            yield from pool.map(decode, wanted)


@dataclass(frozen=True)
class OriginalImages:
    """Images of a batch that are not decoded yet, so that a view that crops them reads the original pixels."""

    storage: ImageStorage
    rows: Tensor

    @property
    def size(self) -> Size:
        """Height and width of the images once they are resized."""
        return self.storage.shape[1], self.storage.shape[2]

    @property
    def sizes(self) -> Tensor:
        """Height and width of each original, int64 `[B, 2]`."""
        return self.storage.sizes(self.rows)

    def crop(self, boxes: Sequence[Box], size: Size) -> Tensor:
        """The boxes, resized with antialiasing, uint8 `[B, C, H, W]`."""
        return self.storage.crop(self.rows, boxes, size)

    def resized(self) -> Tensor:
        """The whole images, uint8 `[B, C, H, W]`."""
        return self.storage.fetch(self.rows)


def _stacked(images: Iterator[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(list(images)))
