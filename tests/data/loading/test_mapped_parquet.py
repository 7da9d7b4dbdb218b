"""Large Parquet files of images are mapped into memory, small ones and others are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from limbeck.data import load_items
from limbeck.data.loading import mapped_parquet
from limbeck.utils.cache_folder import cache_folder
from tests.data.loading.files import CELLS, EXPECTED, everything, parquet


@pytest.fixture
def everything_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder of the copies."""
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped_parquet, "LARGE", 1)
    monkeypatch.setattr(mapped_parquet, "ROWS", 4)
    return cache_folder("tables")


def test_a_large_file_is_copied_once_for_each_state(tmp_path: Path, everything_is_large: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2])
    for _ in range(2):
        assert torch.equal(everything(load_items(file)), EXPECTED)
        (copy,) = everything_is_large.iterdir()
    parquet(file, image=CELLS[:3], label=[0, 1, 2])
    os.utime(file, (1, 1))
    assert len(load_items(file)) == 3
    (later,) = everything_is_large.iterdir()
    assert later != copy


def test_a_damaged_copy_is_made_again(tmp_path: Path, everything_is_large: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2])
    load_items(file)
    (copy,) = everything_is_large.iterdir()
    whole = copy.read_bytes()
    for damaged in (b"", b"no table", whole[:-100]):
        copy.write_bytes(damaged)
        assert torch.equal(everything(load_items(file)), EXPECTED)
        assert copy.read_bytes() == whole


def test_what_a_killed_process_left_of_a_copy_is_removed(tmp_path: Path, everything_is_large: Path) -> None:
    everything_is_large.mkdir(parents=True)
    left, written = (everything_is_large / f"0-1.{process}.draft" for process in (1, 2))
    for draft in (left, written):
        draft.write_bytes(b"part")
    os.utime(left, (1, 1))
    load_items(parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2]))
    assert [path for path in everything_is_large.iterdir() if path.suffix == ".draft"] == [written]


def test_numbers_are_read(tmp_path: Path, everything_is_large: Path) -> None:
    file = parquet(tmp_path / "a.parquet", features=[[1.0, 2.0], [3.0, 4.0]], label=[0, 1])
    assert everything(load_items(file)).tolist() == [[1, 2], [3, 4]]
    assert not everything_is_large.exists()


def test_without_room_for_a_copy_the_file_is_read(tmp_path: Path, everything_is_large: Path) -> None:
    everything_is_large.parent.mkdir(parents=True)
    everything_is_large.write_text("a file where the folder should be")
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2])
    assert torch.equal(everything(load_items(file)), EXPECTED)
