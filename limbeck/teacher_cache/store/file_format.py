"""The file format of a store: safetensors files that carry their own checksum.

The checksum is the metadata entry `sha256`: the SHA-256 of the whole file with those 64 digits replaced by zeros. One hash
covers header, metadata and data, and a file can be verified without any other file.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.teacher_cache.errors import CorruptFileError

CHECKSUM_PLACEHOLDER = b"0" * 64
LONGEST_HEADER = 2**24
CHUNK = 2**20
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
class FileRecord:
    """Checksum and size of a file."""

    sha256: str
    bytes: int


def embed_checksum(content: bytes) -> tuple[bytes, str]:
    """Returns the content with its first 64 zeros replaced by its checksum, and that checksum."""
    checksum = hashlib.sha256(content).hexdigest()
    return content.replace(CHECKSUM_PLACEHOLDER, checksum.encode(), 1), checksum


def serialize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> tuple[bytes, FileRecord]:
    """Returns the file that holds these tensors, and its record. The same tensors give the same bytes."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    names = sorted(flat, key=lambda name: (-flat[name].element_size(), name))  # wide numbers first, so that all are aligned
    header: dict[str, Any] = {"__metadata__": {"sha256": CHECKSUM_PLACEHOLDER.decode(), **(metadata or {})}}
    end = 0
    for name in names:
        begin, end = end, end + flat[name].nbytes
        header[name] = {"dtype": LABELS[flat[name].dtype], "shape": list(flat[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pieces = (flat[name].reshape(-1).view(torch.uint8).numpy().data for name in names)
    content, checksum = embed_checksum(b"".join([struct.pack("<Q", len(text)), text, *pieces]))
    return content, FileRecord(checksum, len(content))


def stored_record(path: Path) -> FileRecord:
    """Returns the record that a file states about itself, without verifying it.

    Raises:
        CorruptFileError: not a file of a store.
    """
    checksum = _read_header(path).get("__metadata__", {}).get("sha256")
    if not isinstance(checksum, str) or len(checksum) != len(CHECKSUM_PLACEHOLDER):
        raise CorruptFileError(path, "it carries no checksum")
    return FileRecord(checksum, path.stat().st_size)


def bytes_by_tensor(path: Path) -> dict[str, int]:
    """Returns the size of each tensor in a file in bytes; reads the header only.

    Raises:
        CorruptFileError: not a file of a store.
    """
    header, size = _read_header(path), path.stat().st_size
    data = torch.empty(size, dtype=torch.uint8, device="meta")  # only the shapes matter
    return {name: view_tensor(path, data, name, entry).nbytes for name, entry in header.items() if name != "__metadata__"}


def verify_file(path: Path, record: FileRecord) -> None:
    """Read the whole file and compare it with its record.

    Raises:
        CorruptFileError: missing, or of another size or content.
    """
    if not path.is_file():
        raise CorruptFileError(path, "the file is missing")
    size = path.stat().st_size
    if size != record.bytes:
        raise CorruptFileError(path, f"it has {size:,} bytes where {record.bytes:,} were written")
    digest, checksum = hashlib.sha256(), record.sha256.encode()
    with path.open("rb", buffering=0) as file:
        start = file.read(8)
        header = file.read(_header_length(path, start, size))
        digest.update(start + header.replace(checksum, CHECKSUM_PLACEHOLDER, 1))
        buffer = bytearray(CHUNK)  # read, not mapped: the file must not occupy memory of this process
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    if digest.hexdigest() != record.sha256:
        raise CorruptFileError(path, "its bytes are not those that were written (the checksum differs)")


def split_header(path: Path, start: bytes, size: int) -> tuple[dict[str, Any], int]:
    """Returns the header of a file that begins with `start`, and where its data begins.

    Raises:
        CorruptFileError: no safetensors header.
    """
    length = _header_length(path, start[:8], size)
    return _parse_header(path, start[8 : 8 + length]), 8 + length


def view_tensor(path: Path, data: Tensor, name: str, entry: Any) -> Tensor:
    """Returns the tensor that a header entry describes, as a view of the file's data (uint8).

    Raises:
        CorruptFileError: the entry contradicts itself or the data.
    """
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        if whole and end <= len(data) and begin + prod(shape) * dtype.itemsize == end and begin % dtype.itemsize == 0:
            return data[begin:end].view(dtype).view(shape)
    except (KeyError, TypeError, ValueError, RuntimeError):
        pass
    raise CorruptFileError(path, f"its header entry for tensor {name!r} is invalid")


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CorruptFileError(path, "the file is missing")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        return _parse_header(path, file.read(_header_length(path, start, size)))


def _header_length(path: Path, start: bytes, size: int) -> int:
    length = int(struct.unpack("<Q", start)[0]) if len(start) == 8 else 0
    if not 2 <= length <= min(size - 8, LONGEST_HEADER):
        raise CorruptFileError(path, "it is no safetensors file (the length of its header is invalid)")
    return length


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise CorruptFileError(path, "its header is no mapping of tensors")
    return header
