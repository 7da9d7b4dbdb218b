"""Journal files that are corrupt, or of another store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limbeck.teacher_cache import CorruptFileError, IncrementalStore
from tests.teacher_cache import examples


def test_a_corrupt_file_is_named_and_can_be_deleted(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as one:
        one.append(keys, 0, examples.dense(keys, 0))
    path = tmp_path / "journal" / "0000-000000.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 8]) + data[-2:])
    with pytest.raises(CorruptFileError, match=r"0000-000000.*delete this file"):
        examples.incremental(tmp_path, keys)
    path.unlink()
    with examples.incremental(tmp_path, keys) as one:
        assert not bool(one.has(keys, 0).any())


def test_a_file_of_another_store_is_refused(tmp_path: Path) -> None:
    keys = examples.keys(10)
    for name, identity in (("a", examples.IDENTITY), ("b", {"teacher": "another"})):
        with IncrementalStore(tmp_path / name, keys, 1, examples.DENSE, identity, rows_per_shard=9) as one:
            one.append(keys, 0, examples.dense(keys, 0))
    os.replace(tmp_path / "b/journal/0000-000000.safetensors", tmp_path / "a/journal/0000-000000.safetensors")
    with pytest.raises(CorruptFileError, match="written for another store"):
        examples.incremental(tmp_path / "a", keys, views=1)
