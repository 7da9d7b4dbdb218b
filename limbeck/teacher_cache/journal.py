"""Writing a store while a run goes on: rows in the order they come, readable at once, made into shards when complete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.errors import DamagedError, StoreError
from limbeck.teacher_cache.manifest import Identity, read_manifest
from limbeck.teacher_cache.reader import RESIDENT, Found, Reader, asked
from limbeck.teacher_cache.row_table import concat
from limbeck.teacher_cache.shards import MappedFile, Part, Residency, claimed, flat, part_of, render
from limbeck.teacher_cache.store import Store
from limbeck.teacher_cache.store_writer import MOST_ROWS, Describe, Draft
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_atomic

NAMED = re.compile(r"(\d{4})-(\d{6})\.safetensors")
NOWHERE, IN_A_SHARD = -1, -2


class Journal(Reader):
    """A store that fills as the teacher answers.

        with Journal(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as journal:
            there = journal.has(batch.keys, views)
            journal.append(batch.keys[~there], views[~there], {"logits": teacher(batch.inputs[~there])})
            journal.read(batch.keys, views)
            …
            if journal.complete:
                journal.compact()

    Rows are kept in memory until a part is full, then written to `journal/RRRR-NNNNNN.safetensors` (R the rank); each part
    carries its keys, views and checksum, so that the next process goes on from what the last one left. In memory the journal
    holds four bytes per sample and view. The other arguments are those of `Draft`.

    Args:
        rows_per_part: rows kept in memory before they are written, and so what a kill can lose.
        resident: bytes of mapped files to keep in memory.
    """

    _parts: list[Part]  # in the order their rows came
    _starts: list[int]  # the ordinal of each part's first row, and of the next part's
    _pending: list[dict[str, Tensor]]  # keys and views of the last parts, which are only in memory
    _taken: set[Path]
    _next: int  # number of the next part to write

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
        rows_per_part: int = 8192,
        resident: int = RESIDENT,
    ) -> None:
        if not 1 <= rows_per_part <= MOST_ROWS:
            raise StoreError(f"rows_per_part: expected 1 to {MOST_ROWS:,}, found {rows_per_part}")
        self._draft = Draft(
            folder, keys, views, codecs, identity, rows_per_shard=rows_per_shard, example=example, describe=describe
        )
        self.folder, self.codecs = self._draft.folder, self._draft.codecs
        self._rows_per_part, self.residency = rows_per_part, Residency(resident)
        self._place = self.folder / "journal"
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def complete(self) -> bool:
        """Whether every sample is there in every view, as far as this process knows (see `refresh`)."""
        return self._missing == 0

    def append(self, keys: Tensor, views: Tensor | int, signals: Mapping[str, AnySignal]) -> None:
        """Keep the signals of these samples (int64 [B]) in these views; what is there already stays as it is.

        Raises:
            StoreError: a sample or view that the journal was not made for; a signal that cannot be stored, with its sample.
            DiskFullError: what was written before is whole.
        """
        keys, views = asked(keys, views)
        if not len(keys):
            return
        tables = self._draft.encode(signals, keys, views)
        if len(next(iter(tables.values()))) != len(keys):
            raise StoreError(f"signals: expected {len(keys)} rows, one per key")
        fresh = self._fresh(keys, views)
        if len(fresh):
            self._enter(keys[fresh], views[fresh], Part({tap: table.take(fresh) for tap, table in tables.items()}))
            self._pending.append({"keys": keys[fresh], "views": views[fresh].to(torch.int16)})
        if sum(len(piece["keys"]) for piece in self._pending) >= self._rows_per_part:
            self.refresh()  # what the other ranks have written by now need not be asked for here

    def flush(self) -> None:
        """Write the rows that are only in memory."""
        if not self._pending:
            return
        first = len(self._parts) - len(self._pending)  # what is pending came last
        pieces = [part.tables for part in self._parts[first:]]
        rows = {name: torch.cat([piece[name] for piece in self._pending]) for name in ("keys", "views")}
        tables = {tap: concat([piece[tap] for piece in pieces]) for tap in self.codecs}
        path = self._place / f"{distributed.rank():04d}-{self._next:06d}.safetensors"
        with self._draft.room():
            self._place.mkdir(exist_ok=True)
            write_atomic(path, render({**rows, **flat(tables)}, self._about)[0])
        self._parts[first:], self._starts[first + 1 : -1] = [self._opened(path)[0]], []
        self._pending, self._next = [], self._next + 1

    def refresh(self) -> None:
        """Take up the parts that other ranks wrote. With several ranks: `flush` on each, let them meet, then `refresh`."""
        self.flush()
        for path in sorted(self._place.glob("*.safetensors")):
            named = NAMED.fullmatch(path.name)
            if named and path not in self._taken:
                part, keys, views = self._opened(path)
                self._enter(keys, views, part)
                if int(named[1]) == distributed.rank():
                    self._next = max(self._next, int(named[2]) + 1)

    def compact(self) -> None:
        """Put a complete journal into shards, the bytes that `Builder` writes for these signals, and remove its parts.

        With several ranks all of them call it, and share the shards.

        Raises:
            StoreError: rows are missing; the message says how many.
        """
        self.flush()
        distributed.barrier()
        self.refresh()
        if self._missing:
            raise StoreError(
                f"{self.folder}: {self._missing:,} rows are missing; a journal becomes a store when it is complete"
            )
        for number, task in enumerate(self._draft.tasks()):
            if number % distributed.world_size() == distributed.rank() and not self._draft.on_disk(task):
                found = self.locate(task.keys, torch.full_like(task.keys, task.view))
                self._draft.put(task, self.gather(found.file, found.row, list(self.codecs)))
        distributed.barrier()
        if distributed.rank() == 0:
            self._draft.record()
            for path in self._place.glob("*.safetensors"):
                if NAMED.fullmatch(path.name):
                    path.unlink()
            with suppress(OSError):  # not there, or somebody keeps something in it
                self._place.rmdir()
        distributed.barrier()
        self._begin()

    def locate(self, keys: Tensor, views: Tensor) -> Found:
        """Files of the journal count down from −1, those of the shards up from 0."""
        found = self._store.locate(keys, views)
        number, known = self._numbers(keys, views)
        ordinal = torch.where(known, self._ordinal[number], -1).long()
        here = (ordinal >= 0) & ~found.mask
        starts = torch.tensor(self._starts)
        part = torch.searchsorted(starts, ordinal, right=True) - 1
        file = torch.where(here, -1 - part, 0).masked_scatter_(found.mask, found.file)
        row = torch.where(here, ordinal - starts[part], 0).masked_scatter_(found.mask, found.row)
        mask = here | found.mask
        return Found(mask, file[mask], row[mask])

    def part(self, file: int) -> Part:
        return self._store.part(file) if file >= 0 else self._parts[-1 - file]

    def some_file(self) -> int | None:
        return -1 if self._parts else self._store.some_file()

    def close(self) -> None:
        """Leave the folder to others; rows that are only in memory are written first by `flush`, and by the end of a `with`."""
        self._draft.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self.flush()
        finally:
            self.close()

    def _begin(self) -> None:
        """Start from what is on the disk."""
        manifest = read_manifest(self.folder)
        self._draft.manifest = manifest
        self._store = Store(self.folder, manifest, self.residency)
        self._about = {"store": manifest.seal()}
        rows = torch.tensor([segment.rows for segment in manifest.segments])
        self._rows, self._first = rows, (rows * manifest.views).cumsum(0) - rows * manifest.views
        self._ordinal = torch.full((int((rows * manifest.views).sum()),), NOWHERE, dtype=torch.int32)
        for first, segment in zip(self._first.tolist(), manifest.segments, strict=True):
            for view, block in segment.shards:
                span = segment.slice(block)
                self._ordinal[first + view * segment.rows + span.start : first + view * segment.rows + span.stop] = IN_A_SHARD
        self._missing = int((self._ordinal == NOWHERE).sum())
        self._parts, self._starts = [], [0]
        self._pending, self._taken, self._next = [], set(), 0
        self.refresh()

    def _numbers(self, keys: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """The place of each row in the table of ordinals (0 where there is none), and whether there is one."""
        segment, row = self._store.index.rows(keys)
        known = (segment >= 0) & (views >= 0) & (views < self._store.views)
        segment = segment.clamp_min(0)
        return torch.where(known, self._first[segment] + views * self._rows[segment] + row, 0), known

    def _fresh(self, keys: Tensor, views: Tensor) -> Tensor:
        """Places in the batch of the rows that are nowhere yet; of a row that comes twice, the first."""
        number, known = self._numbers(keys, views)
        if not bool(known.all()):
            place = int((~known).nonzero()[0])
            sample = self._draft.describe(int(keys[place]))
            raise StoreError(f"sample {sample}, view {int(views[place])}: the journal was not made for it")
        distinct, which = torch.unique(number, return_inverse=True)
        places = torch.arange(len(number))
        first = torch.full_like(distinct, len(number)).scatter_reduce_(0, which, places, "amin")
        return first[self._ordinal[distinct] == NOWHERE].sort().values

    def _enter(self, keys: Tensor, views: Tensor, part: Part) -> None:
        """Let look-ups find the rows of a part."""
        fresh = self._fresh(keys, views)
        number, _ = self._numbers(keys[fresh], views[fresh])
        if self._starts[-1] + len(keys) >= 2**31:
            raise StoreError(f"{self.folder}: a journal holds at most 2^31 rows; build this store ahead of the run")
        self._ordinal[number] = (self._starts[-1] + fresh).to(torch.int32)
        self._missing -= len(fresh)
        self._parts.append(part)
        self._starts.append(self._starts[-1] + len(keys))

    def _opened(self, path: Path) -> tuple[Part, Tensor, Tensor]:
        """A part on the disk, with its keys and views."""
        file = MappedFile(path, claimed(path))
        keys, views = file.tensors.get("keys"), file.tensors.get("views")
        if keys is None or views is None or keys.dtype != torch.int64 or keys.shape != views.shape:
            raise DamagedError(path, "it is no part of a journal")
        self._taken.add(path)
        return part_of(file, self.codecs, len(keys), self._about), keys, views.long()
