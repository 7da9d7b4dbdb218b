"""Look-ups by (sample key, view): which file holds a row, the rows of a batch gathered from several files, decoded at once."""

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
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.row_table import Table, concat
from limbeck.teacher_cache.sequences import require_same_tokens
from limbeck.teacher_cache.shards import Part, Residency

RESIDENT = 256_000_000  # bytes of mapped files kept in memory


@dataclass(frozen=True)
class Found:
    """Which of B look-ups have an answer: `mask` bool [B], and for those that do, the number of the file and the row in it."""

    mask: Tensor
    file: Tensor
    row: Tensor


@dataclass(frozen=True)
class Reading:
    """What a look-up gave.

    `found` bool [B] says which items are there; each signal has one row for each of *those*, in the order asked, so that
    where all are there row i answers item i, and where some are not nobody takes a filler for a teacher's answer. A store
    without a single row gives no signals at all.
    """

    signals: Mapping[str, AnySignal]
    found: Tensor


class Reader(ABC):
    """What a store and a journal have in common: they answer look-ups."""

    _ahead: tuple[int, ThreadPoolExecutor] | None = None  # process and its thread
    folder: Path
    codecs: Mapping[str, Codec]
    residency: Residency

    @abstractmethod
    def locate(self, keys: Tensor, views: Tensor) -> Found:
        """Where the rows of these samples (int64 [B]) in these views (int64 [B]) lie."""

    @abstractmethod
    def part(self, file: int) -> Part:
        """The rows of a file, by its number."""

    @abstractmethod
    def some_file(self) -> int | None:
        """Any file that is there, to learn shapes from; None where there is none yet."""

    def has(self, keys: Tensor, views: Tensor | int) -> Tensor:
        """Which samples are there in which views: bool [B]."""
        keys, views = asked(keys, views)
        return self.locate(keys, views).mask

    def read(
        self,
        keys: Tensor,
        views: Tensor | int,
        taps: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        hashes: Tensor | None = None,
    ) -> Reading:
        """The signals of B samples, each in a view of its own. Loops over the files touched, never over items.

        Args:
            keys: sample keys, int64 [B].
            views: view numbers, int64 [B], or one for all.
            taps: which signals; all by default.
            device: where to decode; the encoded bytes travel.
            hashes: int64 [B], `token_hashes` of the texts in hand; token signals of other ids are refused.

        Raises:
            DamagedError: a file that these rows need is missing or not what was written.
            StoreError: an unknown tap; tokens of a text that is tokenised otherwise now.
        """
        keys, views = asked(keys, views)
        wanted = self._known(taps)
        found = self.locate(keys, views)
        encoded = self.gather(found.file, found.row, wanted)
        signals = {tap: self.codecs[tap].decode(table.to(device)) for tap, table in encoded.items()}
        if hashes is not None:
            require_same_tokens(signals, keys[found.mask], hashes.cpu()[found.mask])
        return Reading(signals, found.mask)

    def read_ahead(
        self,
        keys: Tensor,
        views: Tensor | int,
        taps: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        hashes: Tensor | None = None,
    ) -> Future[Reading]:
        """`read` on a thread: begins now; `.result()` gives the same `Reading`, or raises the same error."""
        return self._thread().submit(self.read, keys, views, taps, device=device, hashes=hashes)

    def gather(self, file: Tensor, row: Tensor, taps: Sequence[str]) -> dict[str, Table]:
        """Encoded rows by tap, in the order asked; each file is visited once."""
        order = file.argsort(stable=True)
        numbers, counts = torch.unique_consecutive(file[order], return_counts=True)
        pieces: dict[str, list[Table]] = {tap: [] for tap in taps}
        for number, rows in zip(numbers.tolist(), torch.split(row[order], counts.tolist()), strict=True):
            part = self.part(number)
            if part.file is not None:
                self.residency.touched(part.file, len(rows) * len(part.file.tensors))
            for tap in taps:
                pieces[tap].append(part.tables[tap].take(rows))
        if not len(file):
            return self._no_rows(taps)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return {tap: concat(found).take(back) for tap, found in pieces.items()}

    def _known(self, taps: Sequence[str] | None) -> list[str]:
        wanted = list(self.codecs) if taps is None else list(taps)
        for tap in wanted:
            if tap not in self.codecs:
                raise StoreError(f"{self.folder}: no signal of tap {tap!r}; the store holds {', '.join(self.codecs)}")
        return wanted

    def _no_rows(self, taps: Sequence[str]) -> dict[str, Table]:
        some = self.some_file()
        if some is None:
            return {}
        tables, nothing = self.part(some).tables, torch.empty(0, dtype=torch.int64)
        return {tap: tables[tap].take(nothing) for tap in taps}

    def _thread(self) -> ThreadPoolExecutor:
        """One thread of this process: a forked data loader gets its own."""
        if self._ahead is None or self._ahead[0] != os.getpid():
            self._ahead = (os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="limbeck-store"))
        return self._ahead[1]


def asked(keys: Tensor, views: Tensor | int) -> tuple[Tensor, Tensor]:
    """Keys and views of a look-up as int64 [B] on the CPU."""
    keys = keys.cpu().long()
    views = torch.as_tensor(views).cpu().long().expand_as(keys)
    return keys, views
