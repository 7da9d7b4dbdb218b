"""A store that is written and read while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import concat_tables
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.store.journal import Journal
from limbeck.teacher_cache.store.manifest import Identity, read_manifest
from limbeck.teacher_cache.store.mapped_file import MemoryBudget
from limbeck.teacher_cache.store.reader import RESIDENT_BYTES, RowLocations, StoreReader, as_lookups
from limbeck.teacher_cache.store.row_directory import RowDirectory
from limbeck.teacher_cache.store.row_encoder import Describe
from limbeck.teacher_cache.store.row_group import RowGroup
from limbeck.teacher_cache.store.shard_size import MAX_ROWS
from limbeck.teacher_cache.store.store import Store
from limbeck.teacher_cache.store.writer import StoreWriter
from limbeck.utils import distributed


class IncrementalStore(StoreReader):
    """A store that takes rows in any order while a run goes on; they can be read at once.

        with IncrementalStore(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as store:
            stored = store.has(batch.keys, views)
            store.append(batch.keys[~stored], views[~stored], {"logits": teacher(batch.inputs[~stored])})
            store.read(batch.keys, views)
            …
            if store.complete:
                store.compact()

    Rows stay in memory until there are `rows_per_file`, then they are written to `journal/RRRR-NNNNNN.safetensors` (R the rank)
    with their keys, views and a checksum, so that the next process continues with them. The store takes four bytes of memory
    for each sample and view. The other arguments are those of `StoreWriter`.

    Args:
        rows_per_file: rows in memory before they are written: what a kill can lose.
        resident: bytes of mapped files to hold in memory.
        read_only: take no rows, and read a store that another process writes, or that cannot be written.
    """

    _groups: list[RowGroup]  # in the order in which their rows arrived
    _starts: list[int]  # the ordinal of each group's first row, and of the next group's
    _pending: list[tuple[Tensor, Tensor]]  # keys and views of the last groups, which are only in memory

    def __init__(
        self,
        folder: str | Path,
        keys: Tensor,
        views: int,
        codecs: Mapping[str, Codec],
        identity: Identity,
        *,
        rows_per_shard: int | None = None,
        example: Mapping[str, AnySignal] | None = None,
        describe: Describe = str,
        rows_per_file: int = 8192,
        resident: int = RESIDENT_BYTES,
        read_only: bool = False,
    ) -> None:
        if not 1 <= rows_per_file <= MAX_ROWS:
            raise StoreError(f"rows_per_file: expected 1 to {MAX_ROWS:,}, found {rows_per_file}")
        self._writer = StoreWriter(
            folder,
            keys,
            views,
            codecs,
            identity,
            rows_per_shard=rows_per_shard,
            example=example,
            describe=describe,
            read_only=read_only,
        )
        self.read_only = read_only
        self.folder, self.codecs = self._writer.folder, self._writer.codecs
        self._rows_per_file, self.memory = rows_per_file, MemoryBudget(resident)
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    @property
    def complete(self) -> bool:
        """Whether every sample is stored in every view, as far as this process knows (see `refresh`)."""
        return self._directory.missing == 0

    def append(self, keys: Tensor, views: Tensor | int, signals: Mapping[str, AnySignal]) -> None:
        """Store the signals of these samples (int64 [B]) in these views. Rows that are stored already stay as they are.

        Raises:
            StoreError: a sample or view that the store was not opened for; a signal that cannot be stored, with its sample.
            DiskFullError: the disk is full; what was written before is complete.
        """
        keys, views = as_lookups(keys, views)
        if not len(keys):
            return
        tables = self._writer.encode(signals, keys, views)
        if len(next(iter(tables.values()))) != len(keys):
            raise StoreError(f"signals: expected {len(keys)} rows, one per key")
        numbers = self._numbers(keys, views)
        fresh = self._directory.first_missing(numbers)
        if len(fresh):
            self._add(numbers[fresh], RowGroup({tap: table.take(fresh) for tap, table in tables.items()}))
            self._pending.append((keys[fresh], views[fresh]))
        if sum(len(some) for some, _ in self._pending) >= self._rows_per_file:
            self.refresh()  # rows that other processes have written by now need not be computed here

    def flush(self) -> None:
        """Write the rows that are only in memory."""
        if not self._pending:
            return
        first = len(self._groups) - len(self._pending)  # the pending groups are the last ones
        keys, views = (torch.cat(pieces) for pieces in zip(*self._pending, strict=True))
        tables = {tap: concat_tables([group.tables[tap] for group in self._groups[first:]]) for tap in self.codecs}
        path = self._journal.next_path()
        self._writer.write_file(path, self._journal.content(keys, views, tables))
        self._groups[first:], self._starts[first + 1 : -1] = [self._journal.open(path).group], []
        self._pending = []

    def refresh(self) -> None:
        """Read the rows that other processes have written. With several: `flush` on each, a barrier, then `refresh`."""
        self.flush()
        for rows in self._journal.open_new():
            self._add(self._numbers(rows.keys, rows.views), rows.group)

    def compact(self) -> None:
        """Turn a complete journal into shards, with the bytes that `StoreBuilder` writes, and delete the journal files.

        With several processes all of them call it, and each writes its share of the shards.

        Raises:
            StoreError: rows are missing; the message says how many.
        """
        self.flush()
        distributed.barrier()
        self.refresh()
        if not self.complete:
            raise StoreError(
                f"{self.folder}: {self._directory.missing:,} rows are missing; a journal becomes shards when it is complete"
            )
        for number, shard in enumerate(self._writer.planned_shards()):
            if number % distributed.world_size() == distributed.rank() and not self._writer.is_written(shard):
                locations = self.locate(shard.keys, torch.full_like(shard.keys, shard.view))
                self._writer.write_shard(shard, self.gather(locations.file, locations.row, list(self.codecs)))
        distributed.barrier()
        if distributed.rank() == 0:
            self._writer.update_manifest()
            self._journal.remove()
        distributed.barrier()
        self._load()

    def locate(self, keys: Tensor, views: Tensor) -> RowLocations:
        """Returns where the rows are; journal files count down from −1, those of the shards up from 0."""
        shards = self._store.locate(keys, views)
        ordinal = self._directory.ordinals(keys, views)
        in_journal = (ordinal >= 0) & ~shards.mask
        starts = torch.tensor(self._starts)
        group = torch.searchsorted(starts, ordinal, right=True) - 1
        file = torch.where(in_journal, -1 - group, 0).masked_scatter_(shards.mask, shards.file)
        row = torch.where(in_journal, ordinal - starts[group], 0).masked_scatter_(shards.mask, shards.row)
        mask = in_journal | shards.mask
        return RowLocations(mask, file[mask], row[mask])

    def row_group(self, file: int) -> RowGroup:
        return self._store.row_group(file) if file >= 0 else self._groups[-1 - file]

    def any_file(self) -> int | None:
        return -1 if self._groups else self._store.any_file()

    def close(self) -> None:
        """Release the folder. Rows that are only in memory are lost; `flush`, or the end of a `with` block, writes them."""
        self._writer.close()

    def __enter__(self) -> IncrementalStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self.flush()
        finally:
            self.close()

    def _load(self) -> None:
        """Load what is on the disk."""
        manifest = read_manifest(self.folder)
        self._writer.manifest = manifest
        self._store = Store(self.folder, manifest, self.memory)
        self._journal = Journal(self.folder, self.codecs, {"store": manifest.fingerprint()})
        self._directory = RowDirectory(manifest, self._store.index)
        self._groups, self._starts, self._pending = [], [0], []
        self.refresh()

    def _numbers(self, keys: Tensor, views: Tensor) -> Tensor:
        """The positions of rows in the directory; all samples and views must be those that the store was opened for."""
        numbers = self._directory.numbers(keys, views)
        if bool((numbers < 0).any()):
            position = int((numbers < 0).nonzero()[0])
            sample = self._writer.describe(int(keys[position]))
            raise StoreError(
                f"sample {sample}, view {int(views[position])}: the store was not opened for it; open it with the keys of all "
                "samples and with all views of the run"
            )
        return numbers

    def _add(self, numbers: Tensor, group: RowGroup) -> None:
        """Make the rows of a group readable."""
        if self._starts[-1] + len(numbers) >= 2**31:
            raise StoreError(f"{self.folder}: a journal holds at most 2^31 rows; build this store ahead of the run")
        self._directory.add(numbers, self._starts[-1])
        self._groups.append(group)
        self._starts.append(self._starts[-1] + len(numbers))
