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


def test_numbers_are_read(tmp_path: Path, everything_is_large: Path) -> None:
    file = parquet(tmp_path / "a.parquet", features=[[1.0, 2.0], [3.0, 4.0]], label=[0, 1])
    assert everything(load_items(file)).tolist() == [[1, 2], [3, 4]]
    assert not everything_is_large.exists()


def test_without_room_for_a_copy_the_file_is_read(tmp_path: Path, everything_is_large: Path) -> None:
    everything_is_large.parent.mkdir(parents=True)
    everything_is_large.write_text("a file where the folder should be")
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2])
    assert torch.equal(everything(load_items(file)), EXPECTED)
