"""Decoded images in memory, filled as they are decoded, which worker processes share."""

from __future__ import annotations

import math
import mmap

import numpy as np
import torch
from torch import Tensor


class DecodedCache:
    """Keeps the first rows, as many as fit.

    The memory is mapped before worker processes are forked, so that what one of them decodes all can read. It is taken from
    the system when it is written.

    Args:
        rows: of the data set.
        shape: of one image.
        limit: bytes.
    """

    def __init__(self, rows: int, shape: tuple[int, ...], limit: int) -> None:
        self._arguments = rows, shape, limit
        size = math.prod(shape)
        self.capacity = min(rows, limit // max(size, 1))
        if self.capacity:
            pixels = np.frombuffer(mmap.mmap(-1, self.capacity * size), dtype=np.uint8)
            self._pixels = torch.from_numpy(pixels).view(self.capacity, *shape)
            self._filled = torch.from_numpy(np.frombuffer(mmap.mmap(-1, self.capacity), dtype=np.bool_))

    def __reduce__(self) -> tuple[type[DecodedCache], tuple[int, tuple[int, ...], int]]:
        return DecodedCache, self._arguments  # a copy starts empty

    @property
    def holds_all(self) -> bool:
        """Whether every row fits."""
        return self.capacity == self._arguments[0]

    def has(self, rows: Tensor) -> Tensor:
        """Which of these rows are in memory, bool `[B]`."""
        if not self.capacity:
            return torch.zeros(len(rows), dtype=torch.bool)
        if self.holds_all:
            return self._filled[rows]
        return (rows < self.capacity) & self._filled[rows.clamp(max=self.capacity - 1)]

    def read(self, rows: Tensor) -> Tensor:
        """The images of rows that are in memory, uint8 `[B, C, H, W]`."""
        return self._pixels[rows]

    def add(self, rows: Tensor, images: Tensor) -> None:
        """Keeps those of these images whose rows fit."""
        fit = rows < self.capacity
        if bool(fit.any()):
            self._pixels[rows[fit]] = images[fit]
            self._filled[rows[fit]] = True  # after the pixels: another process may look at any time
