"""Writing a store: locks, full disks, corrupt shards."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import (
    CorruptFileError,
    DiskFullError,
    Store,
    StoreBuilder,
    StoreError,
    check_store,
)
from limbeck.utils import disk_full
from limbeck.utils.folder_lock import FolderInUseError
from tests.teacher_cache import examples


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with examples.builder(tmp_path, examples.keys(50)) as one:
        with pytest.raises(FolderInUseError, match="another process is at work"):
            examples.builder(tmp_path, examples.keys(50))
        examples.fill(one)
    with examples.builder(tmp_path, examples.keys(50)) as one:
        assert examples.fill(one) == 0


def test_a_full_disk_leaves_a_valid_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, room = examples.keys(50), 2
    examples.build(tmp_path / "quiet", keys)
    fdopen = os.fdopen

    def full(descriptor: int, mode: str) -> object:
        nonlocal room
        if not room:
            os.close(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 1
        return fdopen(descriptor, mode)

    with examples.builder(tmp_path / "full", keys) as one:
        monkeypatch.setattr("limbeck.utils.atomic_files.os.fdopen", full)
        with pytest.raises(
            DiskFullError, match=r"disk is full. 2 of 6 shards .* about 0\.00[23] MB.*same command again"
        ) as caught:
            examples.fill(one)
        monkeypatch.undo()
    assert isinstance(caught.value, OSError)
    assert check_store(tmp_path / "full", progress=False) == []
    assert int(Store.open(tmp_path / "full").has(keys, 0).sum()) == 40
    with examples.builder(tmp_path / "full", keys) as one:
        assert examples.fill(one) == 4
    assert examples.content(tmp_path / "full") == examples.content(tmp_path / "quiet")


def test_a_disk_too_full_for_the_manifest_raises_the_first_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFullError, match="0 of 6 shards"), examples.builder(tmp_path, examples.keys(50)) as one:  # noqa: PT012
        monkeypatch.setattr("limbeck.utils.atomic_files.os.fdopen", full)
        examples.fill(one)
    monkeypatch.undo()
    assert check_store(tmp_path, progress=False) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "other"])
def test_a_corrupt_shard_is_written_again(tmp_path: Path, damage: str) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    whole = examples.content(tmp_path)
    path = tmp_path / "segments/000/0001-00001.safetensors"
    data = path.read_bytes()
    {
        "flip": lambda: path.write_bytes(data[:-1] + bytes([data[-1] ^ 1])),
        "cut": lambda: path.write_bytes(data[:-1]),
        "delete": path.unlink,
        "other": lambda: path.write_bytes((tmp_path / "segments/000/0000-00001.safetensors").read_bytes()),
    }[damage]()
    with pytest.raises(CorruptFileError, match=r"0001-00001.*build the store again"):
        Store.open(tmp_path).read(keys, 1)
    told = contextlib.nullcontext() if damage == "delete" else pytest.warns(match=r"0001-00001.*is deleted and computed again")
    with told:
        examples.build(tmp_path, keys)
    assert examples.content(tmp_path) == whole


def test_shards_of_another_store_are_not_reused(tmp_path: Path) -> None:
    examples.build(tmp_path, examples.keys(40, seed=1))
    (tmp_path / "manifest.json").unlink()  # somebody deletes it, and builds for other samples in the same folder
    keys = examples.keys(40, seed=2)
    read = examples.build(tmp_path, keys).read(keys, 0).signals["logits"]
    assert torch.equal(read, examples.drawn(keys, 0, 0, 10).half().float())


def test_a_failed_opening_releases_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="rows_per_shard"):
        StoreBuilder(tmp_path, examples.keys(30), 1, examples.DENSE, {})
    with examples.builder(tmp_path, examples.keys(30)) as one:
        assert examples.fill(one) == 4


def test_a_disk_too_full_for_a_new_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("limbeck.utils.atomic_files.os.fdopen", full)
    with pytest.raises(disk_full.DiskFullError, match=f"{tmp_path}/segments/000/keys.safetensors: the disk is full"):
        examples.builder(tmp_path, examples.keys(50))
