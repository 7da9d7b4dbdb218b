"""Lookups by (sample key, view): the rows of a batch are gathered from several files and decoded together."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import RowTable, concat_tables
from limbeck.teacher_cache.codecs.tokens import require_same_tokens
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.store.mapped_file import MemoryBudget
from limbeck.teacher_cache.store.row_group import RowGroup

RESIDENT_BYTES = 256_000_000  # of mapped files


@dataclass(frozen=True)
class RowLocations:
    """Where the rows of B lookups are.

    Attributes:
        mask: bool [B], which lookups have a row.
        file: for each of those, the number of its file.
        row: for each of those, the row in this file.
    """

    mask: Tensor
    file: Tensor
    row: Tensor


@dataclass(frozen=True)
class LookupResult:
    """The result of B lookups.

    Attributes:
        signals: by tap, one row for each item that was *found*, in the order of the lookups. If all were found, row i belongs
            to item i; rows that are missing have no placeholder that could be taken for a teacher's output. A store without a
            single row gives no signals at all.
        found: bool [B], which items were found.
    """

    signals: Mapping[str, AnySignal]
    found: Tensor


class StoreReader(ABC):
    """Base of the stores that can be read: finds, gathers and decodes rows."""

    _thread_of: tuple[int, ThreadPoolExecutor] | None = None  # process and its thread
    folder: Path
    codecs: Mapping[str, Codec]
    memory: MemoryBudget

    @abstractmethod
    def locate(self, keys: Tensor, views: Tensor) -> RowLocations:
        """Returns where the rows of these samples (int64 [B]) in these views (int64 [B]) are."""

    @abstractmethod
    def row_group(self, file: int) -> RowGroup:
        """Returns the rows of a file, by its number."""

    @abstractmethod
    def any_file(self) -> int | None:
        """Returns the number of some file, to read shapes from; None if there is none yet."""

    def has(self, keys: Tensor, views: Tensor | int) -> Tensor:
        """Returns which samples are stored in which views: bool [B]."""
        keys, views = as_lookups(keys, views)
        return self.locate(keys, views).mask

    def read(
        self,
        keys: Tensor,
        views: Tensor | int,
        taps: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        hashes: Tensor | None = None,
    ) -> LookupResult:
        """Returns the signals of B samples, each in its own view. Loops over the files involved, never over items.

        Args:
            keys: sample keys, int64 [B].
            views: view numbers, int64 [B], or one for all.
            taps: which signals; all by default.
            device: where to decode; the encoded bytes are copied there.
            hashes: int64 [B], `token_hashes` of the current texts; token signals of other ids are refused.

        Raises:
            CorruptFileError: a file with these rows is missing or not what was written.
            StoreError: an unknown tap; tokens of a text that is tokenized differently now.
        """
        keys, views = as_lookups(keys, views)
        wanted = self._known_taps(taps)
        locations = self.locate(keys, views)
        encoded = self.gather(locations.file, locations.row, wanted)
        signals = {tap: self.codecs[tap].decode(table.to(device)) for tap, table in encoded.items()}
        if hashes is not None:
            require_same_tokens(signals, keys[locations.mask], hashes.cpu()[locations.mask])
        return LookupResult(signals, locations.mask)

    def read_ahead(
        self,
        keys: Tensor,
        views: Tensor | int,
        taps: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        hashes: Tensor | None = None,
    ) -> Future[LookupResult]:
        """Starts `read` on a thread; `.result()` returns the same `LookupResult` or raises the same error."""
        return self._thread().submit(self.read, keys, views, taps, device=device, hashes=hashes)

    def gather(self, file: Tensor, row: Tensor, taps: Sequence[str]) -> dict[str, RowTable]:
        """Returns encoded rows by tap, in the order of `file` and `row`; each file is visited once."""
        order = file.argsort(stable=True)
        numbers, counts = torch.unique_consecutive(file[order], return_counts=True)
        pieces: dict[str, list[RowTable]] = {tap: [] for tap in taps}
        for number, rows in zip(numbers.tolist(), torch.split(row[order], counts.tolist()), strict=True):
            group = self.row_group(number)
            if group.file is not None:
                self.memory.touch(group.file, len(rows) * len(group.file.tensors))
            for tap in taps:
                pieces[tap].append(group.tables[tap].take(rows))
        if not len(file):
            return self._no_rows(taps)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return {tap: concat_tables(tables).take(back) for tap, tables in pieces.items()}

    def _known_taps(self, taps: Sequence[str] | None) -> list[str]:
        wanted = list(self.codecs) if taps is None else list(taps)
        for tap in wanted:
            if tap not in self.codecs:
                raise StoreError(f"{self.folder}: no signal of tap {tap!r}; the store holds {', '.join(self.codecs)}")
        return wanted

    def _no_rows(self, taps: Sequence[str]) -> dict[str, RowTable]:
        file = self.any_file()
        if file is None:
            return {}
        tables, nothing = self.row_group(file).tables, torch.empty(0, dtype=torch.int64)
        return {tap: tables[tap].take(nothing) for tap in taps}

    def _thread(self) -> ThreadPoolExecutor:
        """One thread for each process: a forked data loader gets its own."""
        if self._thread_of is None or self._thread_of[0] != os.getpid():
            self._thread_of = (os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="limbeck-store"))
        return self._thread_of[1]


def as_lookups(keys: Tensor, views: Tensor | int) -> tuple[Tensor, Tensor]:
    """Returns keys and views as int64 [B] on the CPU."""
    keys = keys.cpu().long()
    views = torch.as_tensor(views).cpu().long().expand_as(keys)
    return keys, views
