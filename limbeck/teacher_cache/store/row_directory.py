"""For each sample and view of a store: is its row in a shard, in the journal, or missing?"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.teacher_cache.store.key_index import KeyIndex
from limbeck.teacher_cache.store.manifest import Manifest

MISSING, IN_SHARD = -1, -2


class RowDirectory:
    """A table of all rows of a store, four bytes each: the ordinal of a row in the journal, or `MISSING` or `IN_SHARD`.

    Attributes:
        missing: the number of missing rows.
    """

    def __init__(self, manifest: Manifest, index: KeyIndex) -> None:
        self._index, self._views = index, manifest.views
        self._rows = torch.tensor([segment.rows for segment in manifest.segments])
        size = self._rows * manifest.views
        self._first = size.cumsum(0) - size
        self._ordinals = torch.full((int(size.sum()),), MISSING, dtype=torch.int32)
        for first, segment in zip(self._first.tolist(), manifest.segments, strict=True):
            for view, block in segment.shards:
                span = segment.slice(block)
                self._ordinals[first + view * segment.rows + span.start : first + view * segment.rows + span.stop] = IN_SHARD
        self.missing = int((self._ordinals == MISSING).sum())

    def numbers(self, keys: Tensor, views: Tensor) -> Tensor:
        """Returns the positions of rows in the table, int64 [B]; −1 for samples and views that the store was not opened for."""
        segment, row = self._index.rows(keys)
        known = (segment >= 0) & (views >= 0) & (views < self._views)
        segment = segment.clamp_min(0)
        return torch.where(known, self._first[segment] + views * self._rows[segment] + row, -1)

    def ordinals(self, keys: Tensor, views: Tensor) -> Tensor:
        """Returns the ordinals of rows in the journal, int64 [B]; negative if they are not there."""
        numbers = self.numbers(keys, views)
        return torch.where(numbers >= 0, self._ordinals[numbers.clamp_min(0)], MISSING).long()

    def first_missing(self, numbers: Tensor) -> Tensor:
        """Returns which of these rows are missing, as positions in `numbers`; of a row that occurs twice the first."""
        distinct, which = torch.unique(numbers, return_inverse=True)
        positions = torch.arange(len(numbers))
        first = torch.full_like(distinct, len(numbers)).scatter_reduce_(0, which, positions, "amin")
        return first[self._ordinals[distinct] == MISSING].sort().values

    def add(self, numbers: Tensor, start: int) -> None:
        """Record that row numbers[i] has the ordinal start + i in the journal; rows that are stored already keep theirs."""
        fresh = self.first_missing(numbers)
        self._ordinals[numbers[fresh]] = (start + fresh).to(torch.int32)
        self.missing -= len(fresh)
