"""Rows in shards, in the journal, or missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import Store
from limbeck.teacher_cache.store.row_directory import RowDirectory
from tests.teacher_cache import examples


@pytest.fixture
def directory(tmp_path: Path) -> RowDirectory:
    """Ten samples in two views, the first of which is stored in shards."""
    examples.build(tmp_path, examples.keys(10), views=1)
    with examples.builder(tmp_path, examples.keys(10), views=2):
        pass
    store = Store.open(tmp_path)
    return RowDirectory(store.manifest, store.index)


def test_rows_in_shards_are_not_missing(directory: RowDirectory) -> None:
    keys = examples.keys(10)
    assert directory.missing == 10
    assert not len(directory.first_missing(directory.numbers(keys, torch.zeros(10, dtype=torch.int64))))
    assert directory.first_missing(directory.numbers(keys, torch.ones(10, dtype=torch.int64))).tolist() == list(range(10))


def test_unknown_samples_and_views_have_no_number(directory: RowDirectory) -> None:
    keys = torch.cat([examples.keys(1), torch.tensor([5]), examples.keys(1), examples.keys(1)])
    numbers = directory.numbers(keys, torch.tensor([1, 1, 2, -1]))
    assert (numbers >= 0).tolist() == [True, False, False, False]


def test_added_rows_have_ordinals_and_the_first_of_two_counts(directory: RowDirectory) -> None:
    keys, views = examples.keys(10)[[3, 4, 3]], torch.ones(3, dtype=torch.int64)
    numbers = directory.numbers(keys, views)
    assert directory.first_missing(numbers).tolist() == [0, 1]
    directory.add(numbers, 100)
    assert directory.ordinals(keys, views).tolist() == [100, 101, 100]
    assert bool((directory.ordinals(keys, views - 1) < 0).all())
    assert directory.missing == 8
