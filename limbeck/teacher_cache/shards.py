"""The files of a store: safetensors that carry their own checksum, and are mapped only after it was found right.

The checksum stands in the file's metadata as `sha256`: the SHA-256 of the whole file with those 64 digits read as zeros. So one
hash covers header, metadata and data, and a file can be judged with nothing but itself.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import random
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.errors import DamagedError
from limbeck.teacher_cache.row_table import Table

UNSIGNED = b"0" * 64
LONGEST_HEADER = 2**24
CHUNK = 2**20
FAULT = 2**21  # bytes that one page fault may make resident: the system maps large pages where it can
DTYPES = {
    "I64": torch.int64,
    "I32": torch.int32,
    "F32": torch.float32,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U8": torch.uint8,
    "I8": torch.int8,
}
LABELS = {dtype: label for label, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Record:
    """What is known of a file before it is read."""

    sha256: str
    bytes: int


def signed(content: bytes) -> tuple[bytes, str]:
    """The content with its first 64 zeros replaced by its checksum, and that checksum."""
    checksum = hashlib.sha256(content).hexdigest()
    return content.replace(UNSIGNED, checksum.encode(), 1), checksum


def render(tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> tuple[bytes, Record]:
    """The file that holds these tensors, and its record. The same tensors give the same bytes."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    names = sorted(flat, key=lambda name: (-flat[name].element_size(), name))  # wide numbers first, so that all are aligned
    header: dict[str, Any] = {"__metadata__": {"sha256": UNSIGNED.decode(), **(about or {})}}
    end = 0
    for name in names:
        begin, end = end, end + flat[name].nbytes
        header[name] = {"dtype": LABELS[flat[name].dtype], "shape": list(flat[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pieces = (flat[name].reshape(-1).view(torch.uint8).numpy().data for name in names)
    content, checksum = signed(b"".join([struct.pack("<Q", len(text)), text, *pieces]))
    return content, Record(checksum, len(content))


def claimed(path: Path) -> Record:
    """The record that a file gives of itself; whether it is true is not looked at.

    Raises:
        DamagedError: not a file of a store.
    """
    checksum = _read_header(path).get("__metadata__", {}).get("sha256")
    if not isinstance(checksum, str) or len(checksum) != len(UNSIGNED):
        raise DamagedError(path, "it carries no checksum")
    return Record(checksum, path.stat().st_size)


def bytes_by_tensor(path: Path) -> dict[str, int]:
    """How many bytes each tensor of a file takes, by its header.

    Raises:
        DamagedError: not a file of a store.
    """
    header, size = _read_header(path), path.stat().st_size
    data = torch.empty(size, dtype=torch.uint8, device="meta")  # only the shapes matter
    return {name: _tensor(path, data, name, entry).nbytes for name, entry in header.items() if name != "__metadata__"}


def verify(path: Path, record: Record) -> None:
    """Read the whole file and compare it with its record.

    Raises:
        DamagedError: missing, of another size, or of another content.
    """
    if not path.is_file():
        raise DamagedError(path, "the file is missing")
    size = path.stat().st_size
    if size != record.bytes:
        raise DamagedError(path, f"it has {size:,} bytes where {record.bytes:,} were written")
    digest, checksum = hashlib.sha256(), record.sha256.encode()
    with path.open("rb", buffering=0) as file:
        start = file.read(8)
        header = file.read(_header_bytes(path, start, size))
        digest.update(start + header.replace(checksum, UNSIGNED, 1))
        buffer = bytearray(CHUNK)  # read, not mapped: the file does not become part of this process
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    if digest.hexdigest() != record.sha256:
        raise DamagedError(path, "its bytes are not those that were written (the checksum differs)")


class MappedFile:
    """The tensors of a file, verified and then mapped: what is looked at is read from the disk when it is looked at."""

    def __init__(self, path: Path, record: Record) -> None:
        verify(path, record)
        with path.open("rb") as file:
            # copy on write, because torch has no read-only tensors: were one written to, the file would not change
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        text = _header(path, self._map[: 8 + LONGEST_HEADER], len(self._map))
        header = _parsed(path, text)
        self.path, self.size, self.resident = path, len(self._map), 0
        self.about: dict[str, Any] = header.pop("__metadata__", {})
        data = torch.frombuffer(self._map, dtype=torch.uint8)[8 + len(text) :]
        self.tensors = {name: _tensor(path, data, name, entry) for name, entry in header.items()}

    def drop(self) -> None:
        """Give the pages back; they come again from the file when they are looked at."""
        self.resident = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class Residency:
    """Keeps what maps hold in memory under `budget` bytes. Counts on the high side: every row touched is a large page.

    Over the budget, the smaller of two files drawn at random gives its pages back, until the rest fits: a batch visits its
    files one after the other, so that the one not visited for longest would be the very next; and a large one (the keys) costs
    most to bring back.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self._total = budget, 0
        self._touched: list[MappedFile] = []
        self._draw, self._lock = random.Random(0), threading.Lock()

    def touched(self, file: MappedFile, places: int) -> None:
        """`places` random places of the file were looked at."""
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


@dataclass(frozen=True)
class Part:
    """Rows of every tap that can be looked up: of a mapped file, or only in memory."""

    tables: Mapping[str, Table]
    file: MappedFile | None = None


def flat(tables: Mapping[str, Table]) -> dict[str, Tensor]:
    """The tensors of a shard, by `tap//name`."""
    return {name: tensor for tap, table in tables.items() for name, tensor in table.tensors(f"{tap}//").items()}


def part_of(file: MappedFile, codecs: Mapping[str, Codec], rows: int, about: Mapping[str, str]) -> Part:
    """The rows of a file, which must be signals of these codecs, `rows` of each tap, and say this about themselves.

    Raises:
        DamagedError: another kind of file.
    """
    if any(file.about.get(name) != value for name, value in about.items()):
        raise DamagedError(file.path, "it was written for another store or another place in it")
    by_tap: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.tensors.items():
        tap, divided, part = name.rpartition("//")
        if divided:
            by_tap.setdefault(tap, {})[part] = tensor
    if {tap: frozenset(parts) for tap, parts in by_tap.items()} != {tap: codec.tensors for tap, codec in codecs.items()}:
        raise DamagedError(file.path, f"it holds {', '.join(sorted(file.tensors))}, which are not the signals of this store")
    tables = {tap: Table.of(parts) for tap, parts in by_tap.items()}
    if any(not table.consistent() or len(table) != rows for table in tables.values()):
        raise DamagedError(file.path, f"it does not hold {rows:,} rows of each signal")
    file.drop()  # the offsets of lists were looked at whole
    return Part(tables, file)


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedError(path, "the file is missing")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        return _parsed(path, file.read(_header_bytes(path, start, size)))


def _header_bytes(path: Path, start: bytes, size: int) -> int:
    count = int(struct.unpack("<Q", start)[0]) if len(start) == 8 else 0
    if not 2 <= count <= min(size - 8, LONGEST_HEADER):
        raise DamagedError(path, "it is no safetensors file (the length of its header makes no sense)")
    return count


def _header(path: Path, start: bytes, size: int) -> bytes:
    return start[8 : 8 + _header_bytes(path, start[:8], size)]


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise DamagedError(path, "its header is no mapping of tensors")
    return header


def _tensor(path: Path, data: Tensor, name: str, entry: Any) -> Tensor:
    """One tensor of the mapped data, as its header entry describes it, or an error where that cannot be."""
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        if whole and end <= len(data) and begin + prod(shape) * dtype.itemsize == end and begin % dtype.itemsize == 0:
            return data[begin:end].view(dtype).view(shape)
    except (KeyError, TypeError, ValueError, RuntimeError):
        pass
    raise DamagedError(path, f"its header says of tensor {name!r} what cannot be")
