"""Rows of different lengths, stored end to end without padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor


class PackedRows:
    """Row n is `values[offsets[n] : offsets[n + 1]]`.

    Attributes:
        values: all rows, one after the other, `[total, …]`.
        offsets: start of each row, and the total at the end, int64 `[N + 1]`.
    """

    def __init__(self, values: Tensor, offsets: Tensor) -> None:
        self.values, self.offsets = values, offsets

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]], dtype: type[np.generic] = np.int32) -> PackedRows:
        """Pack rows of integers."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        offsets = np.concatenate([[0], lengths.cumsum()])
        values = np.fromiter(chain.from_iterable(rows), dtype, int(offsets[-1]))
        return cls(torch.from_numpy(values), torch.from_numpy(offsets))

    @classmethod
    def concatenate(cls, parts: Sequence[PackedRows]) -> PackedRows:
        """The rows of all parts."""
        lengths = torch.cat([part.lengths for part in parts])
        return cls(torch.cat([part.values for part in parts]), _offsets(lengths))

    @property
    def lengths(self) -> Tensor:
        """Length of each row, int64 `[N]`."""
        return self.offsets.diff()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Tensor:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def select(self, rows: Tensor) -> PackedRows:
        """Only these rows, in this order."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        shift = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        return PackedRows(self.values[shift + torch.arange(len(shift))], offsets)

    def equals(self, other: PackedRows) -> bool:
        """Whether all rows are equal."""
        return torch.equal(self.offsets, other.offsets) and torch.equal(self.values, other.values)

    def differing_rows(self, other: PackedRows) -> list[int]:
        """Rows that differ, in order, up to and including the first of another length."""
        count = min(len(self), len(other))
        longer = (self.lengths[:count] != other.lengths[:count]).nonzero()[:1, 0]
        stop = self.offsets[int(longer) if len(longer) else count]  # up to here both have the same offsets
        positions = (self.values[:stop] != other.values[:stop]).nonzero()[:, 0].contiguous()
        rows = torch.searchsorted(self.offsets, positions, right=True) - 1
        return [*sorted(set(rows.tolist())), *longer.tolist()]

    def mask(self, rows: Tensor, width: int, left: bool = False) -> Tensor:
        """False in the padding and True elsewhere, if these rows are padded to `width` at the right (or left): `[B, width]`."""
        lengths = self.lengths[rows, None]
        position = torch.arange(width)
        return position >= width - lengths if left else position < lengths

    def pad(self, rows: Tensor, width: int, fill: int = 0, left: bool = False) -> Tensor:
        """These rows padded to `width`, which must hold the longest of them: `[B, width, …]`."""
        starts, lengths = self.offsets[:-1][rows, None], self.lengths[rows, None]
        mask = self.mask(rows, width, left)
        padded = self.values.new_full((len(rows), width, *self.values.shape[1:]), fill)
        padded[mask] = self.values[(starts + torch.arange(width) - (width - lengths if left else 0))[mask]]
        return padded


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
