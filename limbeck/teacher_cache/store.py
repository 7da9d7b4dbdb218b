"""A store that is read: verified, mapped, and asked by (sample key, view)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.index import Index
from limbeck.teacher_cache.manifest import Identity, Manifest, read_manifest, shard_path
from limbeck.teacher_cache.reader import RESIDENT, Found, Reader
from limbeck.teacher_cache.shards import MappedFile, Part, Residency, part_of


class Store(Reader):
    """Teacher signals on disk. Any number of processes may read one at once; `Store.open` makes one.

    Attributes:
        views: how many views of each sample the store is meant to hold.
        samples: how many samples it knows.
        complete: whether every sample is there in every view.
    """

    def __init__(self, folder: Path, manifest: Manifest, residency: Residency) -> None:
        self.folder, self.manifest, self.codecs, self.residency = folder, manifest, manifest.codecs, residency
        self.index = Index(folder, manifest, residency)
        self._shards = Numbering(manifest)
        self._parts: dict[int, Part] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        expect: Identity | None = None,
        codecs: Mapping[str, Codec] | None = None,
        *,
        resident: int = RESIDENT,
    ) -> Store:
        """Open the store in `folder`. Shards and keys are opened, and verified, when they are first looked at.

        Args:
            expect: the identity that the store must have, name by name.
            codecs: how each tap must be kept, where that matters to the run.
            resident: bytes of mapped files to keep in memory.

        Raises:
            IdentityError: made by something else; every difference is named.
            DamagedError: the manifest is not what was written.
            StoreError: no store there.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if expect is not None:
            manifest.require(folder, expect, codecs)
        return cls(folder, manifest, Residency(resident))

    @property
    def views(self) -> int:
        return self.manifest.views

    @property
    def samples(self) -> int:
        return len(self.index)

    @property
    def complete(self) -> bool:
        return bool(self._shards.present.all())

    def locate(self, keys: Tensor, views: Tensor) -> Found:
        segment, row = self.index.rows(keys)
        mask = (segment >= 0) & (views >= 0) & (views < self.views)
        segment, view, row = segment[mask], views[mask], row[mask]
        block = row // self._shards.rows_per_shard[segment]
        file = self._shards.number(segment, view, block)
        there = self._shards.present[file]
        mask[mask.clone()] = there
        return Found(mask, file[there], (row - block * self._shards.rows_per_shard[segment])[there])

    def part(self, file: int) -> Part:
        if file not in self._parts:
            with self._lock:
                if file not in self._parts:
                    self._parts[file] = self._open_shard(file)
        return self._parts[file]

    def _open_shard(self, file: int) -> Part:
        segment, view, block = self._shards.place(file)
        there = self.manifest.segments[segment]
        mapped = MappedFile(shard_path(self.folder, segment, view, block), there.shards[view, block])
        return part_of(mapped, self.codecs, there.rows_in(block), self.manifest.about(segment, view, block))

    def some_file(self) -> int | None:
        there = self._shards.present.nonzero()
        return int(there[0]) if len(there) else None

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopened, (self.folder, self.residency.budget))  # maps and threads stay here; the other process opens its own


def _reopened(folder: Path, resident: int) -> Store:
    return Store.open(folder, resident=resident)


class Numbering:
    """One number for each (segment, view, block), and which of these shards are there."""

    def __init__(self, manifest: Manifest) -> None:
        self._segments, self._views = manifest.segments, manifest.views
        self._blocks = torch.tensor([part.blocks for part in self._segments], dtype=torch.int64)
        self._first = (self._blocks * self._views).cumsum(0) - self._blocks * self._views
        self.rows_per_shard = torch.tensor([part.rows_per_shard for part in self._segments], dtype=torch.int64)
        self.present = torch.zeros(int((self._blocks * self._views).sum()), dtype=torch.bool)
        for segment, part in enumerate(self._segments):
            for view, block in part.shards:
                self.present[self._first[segment] + view * part.blocks + block] = True

    def number(self, segment: Tensor, view: Tensor, block: Tensor) -> Tensor:
        return self._first[segment] + view * self._blocks[segment] + block

    def place(self, number: int) -> tuple[int, int, int]:
        segment = int(torch.searchsorted(self._first, number, right=True)) - 1  # the last that begins at or before it
        view, block = divmod(number - int(self._first[segment]), int(self._blocks[segment]))
        return segment, view, block
