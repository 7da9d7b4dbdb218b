"""Writing a store ahead of the run that reads it: shard by shard, from any number of processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType

import torch

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.row_table import Table, concat
from limbeck.teacher_cache.store_writer import Draft, Task
from limbeck.utils import distributed


class Builder(Draft):
    """Fills a store with the signals of a teacher.

        with Builder(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as builder:
            for task in builder.missing():
                for keys in task.keys.split(256):
                    builder.write(task, {"logits": teacher(images_of(keys, task.view))})

    A shard is written when its last row came, whole or not at all; the manifest when the `with` ends. Run again after a crash
    or a kill, the same lines go on with the shards that are missing and end with the same bytes. See `Draft` for the arguments.
    """

    _task: Task | None = None
    _pieces: list[Mapping[str, Table]]
    _done: int

    def missing(self, rank: int | None = None, world: int | None = None) -> Iterator[Task]:
        """The shards that this process is to make: of all that the store lacks, every `world`-th from the `rank`-th on.

        By default rank and number of processes are those of the run.
        """
        rank, world = distributed.rank() if rank is None else rank, distributed.world_size() if world is None else world
        if not 0 <= rank < world:
            raise StoreError(f"rank: expected 0 to {world - 1}, found {rank}")
        mine = [task for number, task in enumerate(self.tasks()) if number % world == rank]
        yield from [task for task in mine if not self.on_disk(task)]

    def write(self, task: Task, signals: Mapping[str, AnySignal]) -> None:
        """Add the signals, by tap, of the next rows of a shard; with the last row the shard is written.

        Only encoded rows are kept until then.

        Raises:
            StoreError: a signal with NaN or infinity, and whose; more rows than the shard has; another shard begun.
            DiskFullError: what stood before is whole, and the message says how much is missing.
        """
        if self._task is None:
            self._task, self._pieces, self._done = task, [], 0
        elif self._task != task:
            left = len(self._task.keys) - self._done
            raise StoreError(f"{self._task} still lacks {left} rows; a shard is finished before the next is begun")
        keys = task.keys[self._done :]
        self._pieces.append(self.encode(signals, keys, torch.full_like(keys, task.view)))
        self._done += len(next(iter(self._pieces[-1].values())))
        if self._done == len(task.keys):
            pieces, self._task, self._pieces = self._pieces, None, []
            self.put(task, {tap: concat([piece[tap] for piece in pieces]) for tap in self.codecs})

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for the other ranks, then write the manifest; after an error, write it for what is there without waiting."""
        try:
            if kind is None:
                distributed.barrier()
                if distributed.rank() == 0:
                    self.record()
                distributed.barrier()
            elif distributed.rank() == 0:
                with suppress(OSError):  # the disk may be full, and the error on its way says so better
                    self.record()
        finally:
            self.close()
