"""Finds the row of a sample key by binary search in the sorted keys of each segment."""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from torch import Tensor

from limbeck.teacher_cache.errors import CorruptFileError
from limbeck.teacher_cache.store.manifest import Manifest, Segment, keys_path
from limbeck.teacher_cache.store.mapped_file import MappedFile, MemoryBudget


def open_keys(folder: Path, number: int, segment: Segment) -> MappedFile:
    """Returns the verified file of a segment's sorted keys; its tensor is `keys`.

    Raises:
        CorruptFileError: missing, or not what was written.
    """
    file = MappedFile(keys_path(folder, number), segment.keys)
    keys = file.tensors.get("keys")
    if keys is None or keys.dtype != torch.int64 or keys.shape != (segment.rows,):
        raise CorruptFileError(file.path, f"it does not hold {segment.rows:,} keys")
    return file


class KeyIndex:
    """The rows of the samples of a store, over all its segments."""

    def __init__(self, folder: Path, manifest: Manifest, memory: MemoryBudget) -> None:
        self._folder, self._segments, self._memory = folder, manifest.segments, memory
        self._files: dict[int, MappedFile] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(segment.rows for segment in self._segments)

    def rows(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Returns segment and row of each key, both int64 [B]; the segment of an unknown sample is −1."""
        segment, row = torch.full_like(keys, -1), torch.zeros_like(keys)
        for number in range(len(self._segments)):
            known = self._keys(number, len(keys))
            place = torch.searchsorted(known, keys).clamp_(max=len(known) - 1)
            hit = known[place] == keys
            segment[hit], row[hit] = number, place[hit]
        return segment, row

    def _keys(self, number: int, lookups: int) -> Tensor:
        """The keys of a segment, for this many lookups."""
        if number not in self._files:
            with self._lock:
                if number not in self._files:
                    self._files[number] = open_keys(self._folder, number, self._segments[number])
        file = self._files[number]
        self._memory.touch(file, lookups)
        return file.tensors["keys"]
