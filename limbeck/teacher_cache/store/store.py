"""A store on disk, opened for reading."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.store.key_index import KeyIndex
from limbeck.teacher_cache.store.manifest import Identity, Manifest, read_manifest, shard_path
from limbeck.teacher_cache.store.mapped_file import MappedFile, MemoryBudget
from limbeck.teacher_cache.store.reader import RESIDENT_BYTES, RowLocations, StoreReader
from limbeck.teacher_cache.store.row_group import RowGroup, read_row_group


class Store(StoreReader):
    """Signals on disk, found by sample key and view. Use `Store.open`. Any number of processes may read one store at once.

    Attributes:
        views: the number of views of each sample that the complete store holds.
        samples: the number of samples.
        complete: whether every sample is stored in every view.
    """

    def __init__(self, folder: Path, manifest: Manifest, memory: MemoryBudget) -> None:
        self.folder, self.manifest, self.codecs, self.memory = folder, manifest, manifest.codecs, memory
        self.index = KeyIndex(folder, manifest, memory)
        self._shards = ShardNumbers(manifest)
        self._row_groups: dict[int, RowGroup] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        expect: Identity | None = None,
        codecs: Mapping[str, Codec] | None = None,
        *,
        resident: int = RESIDENT_BYTES,
    ) -> Store:
        """Open the store in `folder`. Files of shards and keys are opened and verified on first access.

        Args:
            folder: the folder of the store.
            expect: the identity that the store must have, name by name; None accepts any.
            codecs: the codec that each tap must have; None accepts any.
            resident: bytes of mapped files to hold in memory.

        Raises:
            IdentityError: another identity or codec; every difference is named.
            CorruptFileError: the manifest is not what was written.
            StoreError: no store.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if expect is not None:
            manifest.require_identity(folder, expect, codecs)
        return cls(folder, manifest, MemoryBudget(resident))

    @property
    def views(self) -> int:
        return self.manifest.views

    @property
    def samples(self) -> int:
        return len(self.index)

    @property
    def complete(self) -> bool:
        return bool(self._shards.stored.all())

    def locate(self, keys: Tensor, views: Tensor) -> RowLocations:
        segment, row = self.index.rows(keys)
        mask = (segment >= 0) & (views >= 0) & (views < self.views)
        segment, view, row = segment[mask], views[mask], row[mask]
        block = row // self._shards.rows_per_shard[segment]
        file = self._shards.number(segment, view, block)
        stored = self._shards.stored[file]
        mask[mask.clone()] = stored
        return RowLocations(mask, file[stored], (row - block * self._shards.rows_per_shard[segment])[stored])

    def row_group(self, file: int) -> RowGroup:
        if file not in self._row_groups:
            with self._lock:
                if file not in self._row_groups:
                    self._row_groups[file] = self._open_shard(file)
        return self._row_groups[file]

    def _open_shard(self, file: int) -> RowGroup:
        number, view, block = self._shards.position(file)
        segment = self.manifest.segments[number]
        mapped = MappedFile(shard_path(self.folder, number, view, block), segment.shards[view, block])
        return read_row_group(mapped, self.codecs, segment.rows_in(block), self.manifest.shard_metadata(number, view, block))

    def any_file(self) -> int | None:
        stored = self._shards.stored.nonzero()
        return int(stored[0]) if len(stored) else None

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self.folder, self.memory.budget))  # another process opens its own maps and threads


def _reopen(folder: Path, resident: int) -> Store:
    return Store.open(folder, resident=resident)


class ShardNumbers:
    """Numbers the shards of a store, and knows which of them are stored.

    Attributes:
        rows_per_shard: of each segment.
        stored: bool, by shard number.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._segments, self._views = manifest.segments, manifest.views
        self._blocks = torch.tensor([part.blocks for part in self._segments], dtype=torch.int64)
        self._first = (self._blocks * self._views).cumsum(0) - self._blocks * self._views
        self.rows_per_shard = torch.tensor([part.rows_per_shard for part in self._segments], dtype=torch.int64)
        self.stored = torch.zeros(int((self._blocks * self._views).sum()), dtype=torch.bool)
        for segment, part in enumerate(self._segments):
            for view, block in part.shards:
                self.stored[self._first[segment] + view * part.blocks + block] = True

    def number(self, segment: Tensor, view: Tensor, block: Tensor) -> Tensor:
        """Returns the numbers of shards."""
        return self._first[segment] + view * self._blocks[segment] + block

    def position(self, number: int) -> tuple[int, int, int]:
        """Returns segment, view and block of a shard."""
        segment = int(torch.searchsorted(self._first, number, right=True)) - 1  # the last that begins at or before it
        view, block = divmod(number - int(self._first[segment]), int(self._blocks[segment]))
        return segment, view, block
