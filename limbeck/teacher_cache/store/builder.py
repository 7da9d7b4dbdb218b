"""Builds a store ahead of the runs that read it: shard by shard, with any number of processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType

import torch

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs.row_table import RowTable, concat_tables
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.store.writer import PendingShard, StoreWriter
from limbeck.utils import distributed


class StoreBuilder(StoreWriter):
    """Fills a store with the signals of a teacher.

        with StoreBuilder(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as builder:
            for shard in builder.pending():
                for part in shard.keys.split(256):
                    builder.write(shard, {"logits": teacher(images_of(part, shard.view))})

    A shard is written atomically with its last row, the manifest at the end of the `with` block. Run again after a crash or a
    kill, the same lines continue with the missing shards and end with the same bytes. The arguments are those of `StoreWriter`.
    """

    _shard: PendingShard | None = None
    _pieces: list[Mapping[str, RowTable]]
    _done: int

    def pending(self, rank: int | None = None, world_size: int | None = None) -> Iterator[PendingShard]:
        """Yields the shards that this process makes: every `world_size`-th of the missing and damaged ones, from `rank` on.

        Those that are there are read, and compared with their checksums.

        Args:
            rank: number of this process; by default its rank in the run.
            world_size: number of processes; by default those of the run.
        """
        rank = distributed.rank() if rank is None else rank
        world_size = distributed.world_size() if world_size is None else world_size
        if not 0 <= rank < world_size:
            raise StoreError(f"rank: expected 0 to {world_size - 1}, found {rank}")
        own = [shard for number, shard in enumerate(self.planned_shards()) if number % world_size == rank]
        yield from [shard for shard in own if not self.is_written(shard, verify=True)]

    def write(self, shard: PendingShard, signals: Mapping[str, AnySignal]) -> None:
        """Add the signals, by tap, of the next rows of a shard. The last row writes the shard; until then the encoded rows stay
        in memory.

        Raises:
            StoreError: a signal with NaN or infinity; more rows than the shard has; another shard is unfinished.
            DiskFullError: the disk is full; the shards written before are complete.
        """
        if self._shard is None:
            self._shard, self._pieces, self._done = shard, [], 0
        elif self._shard != shard:
            left = len(self._shard.keys) - self._done
            raise StoreError(f"{self._shard} still lacks {left} rows; finish a shard before the next one")
        keys = shard.keys[self._done :]
        self._pieces.append(self.encode(signals, keys, torch.full_like(keys, shard.view)))
        self._done += len(next(iter(self._pieces[-1].values())))
        if self._done == len(shard.keys):
            pieces, self._shard, self._pieces = self._pieces, None, []
            self.write_shard(shard, {tap: concat_tables([piece[tap] for piece in pieces]) for tap in self.codecs})

    def __enter__(self) -> StoreBuilder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for the other processes, then write the manifest; after an error write it without waiting."""
        try:
            if kind is None:
                distributed.barrier()
                if distributed.rank() == 0:
                    self.update_manifest()
                distributed.barrier()
            elif distributed.rank() == 0:
                with suppress(OSError):  # the disk may be full, which the propagating error already says
                    self.update_manifest()
        finally:
            self.close()
