"""Rows of different lengths laid end to end, so that they take no more memory than what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor


class PackedRows:
    """`values[offsets[n] : offsets[n + 1]]` is row n.

    Attributes:
        values: all rows one after the other, `[total, ...]`.
        offsets: int64 `[N + 1]`, where each row begins; the last entry is the total.
    """

    def __init__(self, values: Tensor, offsets: Tensor) -> None:
        self.values, self.offsets = values, offsets

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]], dtype: type[np.generic] = np.int32) -> PackedRows:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        offsets = np.concatenate([[0], lengths.cumsum()])
        values = np.fromiter(chain.from_iterable(rows), dtype, int(offsets[-1]))
        return cls(torch.from_numpy(values), torch.from_numpy(offsets))

    @classmethod
    def concatenate(cls, parts: Sequence[PackedRows]) -> PackedRows:
        lengths = torch.cat([part.lengths for part in parts])
        return cls(torch.cat([part.values for part in parts]), _offsets(lengths))

    @property
    def lengths(self) -> Tensor:
        """int64 `[N]`."""
        return self.offsets.diff()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Tensor:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def select(self, rows: Tensor) -> PackedRows:
        """Only these rows, in this order."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        moved = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        return PackedRows(self.values[moved + torch.arange(len(moved))], offsets)

    def differing_rows(self, other: PackedRows) -> list[int]:
        """The rows that do not hold the same in both, in order; none after the first of another length."""
        count = min(len(self), len(other))
        longer = (self.lengths[:count] != other.lengths[:count]).nonzero()[:1, 0]
        stop = self.offsets[int(longer) if len(longer) else count]  # up to there both have the same offsets
        places = (self.values[:stop] != other.values[:stop]).nonzero()[:, 0].contiguous()
        rows = torch.searchsorted(self.offsets, places, right=True) - 1
        return [*sorted(set(rows.tolist())), *longer.tolist()]

    def mask(self, rows: Tensor, width: int, left: bool = False) -> Tensor:
        """Where these rows, padded to `width` at the right (or left), hold something of their own: bool `[B, width]`."""
        lengths = self.lengths[rows, None]
        place = torch.arange(width)
        return place >= width - lengths if left else place < lengths

    def pad(self, rows: Tensor, width: int, fill: int = 0, left: bool = False) -> Tensor:
        """These rows as one tensor `[B, width, ...]`; `width` must hold the longest of them."""
        starts, lengths = self.offsets[:-1][rows, None], self.lengths[rows, None]
        inside = self.mask(rows, width, left)
        padded = self.values.new_full((len(rows), width, *self.values.shape[1:]), fill)
        padded[inside] = self.values[(starts + torch.arange(width) - (width - lengths if left else 0))[inside]]
        return padded


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
