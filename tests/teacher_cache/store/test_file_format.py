from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from limbeck.teacher_cache import CorruptFileError
from limbeck.teacher_cache.store.file_format import LABELS, embed_checksum, serialize, stored_record, verify_file
from limbeck.teacher_cache.store.mapped_file import MappedFile

TENSORS = {f"{label} numbers": torch.arange(6).to(dtype).view(2, 3) for dtype, label in LABELS.items()}


def written(folder: Path) -> Path:
    path = folder / "file.safetensors"
    path.write_bytes(serialize(TENSORS, {"view": "3"})[0])
    return path


def test_safetensors_reads_the_file(tmp_path: Path) -> None:
    read = load_file(written(tmp_path))
    assert set(read) == set(TENSORS)
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def test_empty_tensors_and_scalars(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(serialize({"none": torch.zeros(0, 4), "one": torch.tensor(5.0)})[0])
    file = MappedFile(path, stored_record(path))
    assert file.tensors["none"].shape == (0, 4)
    assert file.tensors["one"] == 5


def test_each_single_byte_counts(tmp_path: Path) -> None:
    path = written(tmp_path)
    content, record = path.read_bytes(), stored_record(path)
    verify_file(path, record)
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CorruptFileError, match=r"file\.safetensors"):
            verify_file(path, record)
        with pytest.raises(CorruptFileError, match=r"file\.safetensors"):  # by itself, too, with no record to compare with
            verify_file(path, stored_record(path))


def hostile(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A file with a right checksum and a header that lies."""
    content = serialize({"a": torch.arange(4, dtype=torch.int32)})[0]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["sha256"] = "0" * 64
    header = change(header) or header
    text = json.dumps(header).encode()
    return embed_checksum(struct.pack("<Q", len(text)) + text + content[8 + length :])[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["a"].update(dtype="F99"),
        lambda h: h["a"].update(dtype=["I32"]),
        lambda h: h["a"].update(shape=[-2, -2]),
        lambda h: h["a"].update(shape=[5]),
        lambda h: h["a"].update(shape=[2**62, 2**62]),
        lambda h: h["a"].update(shape=[True, 4]),
        lambda h: h["a"].update(shape="4"),
        lambda h: h["a"].update(shape=[4.0]),
        lambda h: h["a"].update(data_offsets=[0, 2**40]),
        lambda h: h["a"].update(data_offsets=[-16, 0]),
        lambda h: h["a"].update(data_offsets=[16, 32]),
        lambda h: h["a"].update(data_offsets=[1, 17]),
        lambda h: h["a"].update(data_offsets=[0]),
        lambda h: h.update(a=None),
        lambda h: h.update(a=7),
    ],
)
def test_an_invalid_header_entry_is_an_error(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(hostile(change))
    with pytest.raises(CorruptFileError, match="its header entry for tensor 'a' is invalid"):
        MappedFile(path, stored_record(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"\xff\xff",
        struct.pack("<Q", 40_000) + b"[" * 40_000,
        struct.pack("<Q", 20) + b'{"__metadata__": [] }',
        struct.pack("<Q", 35) + b'{"__metadata__": {"sha256": [1, 2]}}',
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError):
        stored_record(path)
