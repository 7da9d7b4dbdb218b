"""Slices of a batch."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives.functional import chunking


@pytest.mark.parametrize(("items", "size", "expected"), [(5, 4, [2, 2, 1]), (5, 100, [1] * 5), (3, 0, [3]), (0, 4, [])])
def test_slices_cover_all_items_within_the_limit(monkeypatch, items, size, expected):
    monkeypatch.setitem(chunking.CHUNK, "cpu", 8)
    slices = list(chunking.chunk_slices(items, size, torch.device("cpu")))
    covered = [list(range(items))[part] for part in slices]
    assert [len(part) for part in covered] == expected
    assert [row for part in covered for row in part] == list(range(items))
