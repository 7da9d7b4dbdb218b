"""Memory-mapped files of a store, and a limit on the memory that their pages occupy."""

from __future__ import annotations

import mmap
import random
import threading
from pathlib import Path
from typing import Any

import torch

from limbeck.teacher_cache.store.file_format import LONGEST_HEADER, FileRecord, split_header, verify_file, view_tensor

FAULT = 2**21  # bytes that one page fault may make resident: the system maps large pages where it can


class MappedFile:
    """The tensors of a file, verified and then mapped: pages are read from the disk when they are accessed.

    Attributes:
        path: the file.
        size: its bytes.
        metadata: the strings in its header.
        tensors: views of the map, by name.
        resident: an upper estimate of the bytes in memory, kept by `MemoryBudget`.

    Raises:
        CorruptFileError: the file is not what `record` says.
    """

    def __init__(self, path: Path, record: FileRecord) -> None:
        verify_file(path, record)
        with path.open("rb") as file:
            # copy on write, because torch has no read-only tensors: writing to one does not change the file
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        header, begin = split_header(path, self._map[: 8 + LONGEST_HEADER], len(self._map))
        self.path, self.size, self.resident = path, len(self._map), 0
        self.metadata: dict[str, Any] = header.pop("__metadata__", {})
        data = torch.frombuffer(self._map, dtype=torch.uint8)[begin:]
        self.tensors = {name: view_tensor(path, data, name, entry) for name, entry in header.items()}

    def drop(self) -> None:
        """Release the pages in memory; they are read again when they are accessed."""
        self.resident = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class MemoryBudget:
    """Keeps the pages of mapped files under `budget` bytes. Counts high: every row accessed is taken as one large page.

    Over the budget, two files are drawn at random and the smaller one drops its pages, until the rest fits. Least recently used
    would be wrong here: a batch visits its files one after the other, so that the file unused for longest is the very next.
    A large file (the keys) costs most to read again.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self._total = budget, 0
        self._touched: list[MappedFile] = []
        self._draw, self._lock = random.Random(0), threading.Lock()

    def touch(self, file: MappedFile, places: int) -> None:
        """Count `places` random accesses to the file."""
        with self._lock:
            if not file.resident:
                self._touched.append(file)
            grown = min(file.size, file.resident + places * FAULT)
            self._total += grown - file.resident
            file.resident = grown
            while self._total > self.budget:
                drawn = [self._draw.randrange(len(self._touched)) for _ in range(2)]
                place = min(drawn, key=lambda one: self._touched[one].resident)
                self._touched[place], self._touched[-1] = self._touched[-1], self._touched[place]
                dropped = self._touched.pop()
                self._total -= dropped.resident
                dropped.drop()
