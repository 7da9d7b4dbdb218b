"""Memory-mapped files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import CorruptFileError
from limbeck.teacher_cache.store.file_format import LABELS, serialize, stored_record
from limbeck.teacher_cache.store.mapped_file import MappedFile, MemoryBudget

TENSORS = {f"{label} numbers": torch.arange(6).to(dtype).view(2, 3) for dtype, label in LABELS.items()}


def written(folder: Path) -> Path:
    path = folder / "file.safetensors"
    path.write_bytes(serialize(TENSORS, {"view": "3"})[0])
    return path


def test_a_mapped_file_has_the_same_tensors(tmp_path: Path) -> None:
    path = written(tmp_path)
    file = MappedFile(path, stored_record(path))
    assert all(torch.equal(file.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert file.metadata["view"] == "3"


def test_writing_to_a_mapped_tensor_does_not_change_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    MappedFile(path, stored_record(path)).tensors["F32 numbers"].fill_(9)
    assert path.read_bytes() == before


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    content, record = path.read_bytes(), stored_record(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFileError, match=f"{length} bytes where {len(content)} were written"):
            MappedFile(path, record)
    path.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        MappedFile(path, record)


def test_pages_are_dropped_over_the_budget(tmp_path: Path) -> None:
    path = written(tmp_path)
    files = [MappedFile(path, stored_record(path)) for _ in range(5)]
    residency = MemoryBudget(3 * files[0].size)
    for file in files[:3]:
        residency.touch(file, 1)
        residency.touch(file, 9)  # a file counts once, however often it is touched
    assert [file.resident for file in files] == [file.size for file in files[:3]] + [0, 0]
    for file in files:
        residency.touch(file, 1)
    assert sum(file.resident for file in files) == residency.budget
    assert all(torch.equal(file.tensors["I64 numbers"], TENSORS["I64 numbers"]) for file in files)
