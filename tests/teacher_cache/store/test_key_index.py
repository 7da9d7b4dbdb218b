"""Rows of sample keys, over several segments."""

from __future__ import annotations

from pathlib import Path

import torch

from limbeck.teacher_cache import Store
from tests.teacher_cache import examples


def test_keys_are_found_in_their_segment_at_their_rank(tmp_path: Path) -> None:
    keys = examples.keys(30)
    examples.build(tmp_path, keys[:20])
    examples.build(tmp_path, keys)
    index = Store.open(tmp_path).index
    assert len(index) == 30
    segment, row = index.rows(torch.cat([keys, torch.tensor([12345])]))
    assert segment.tolist() == [0] * 20 + [1] * 10 + [-1]
    assert row[:20].tolist() == keys[:20].argsort().argsort().tolist()
    assert row[20:30].tolist() == keys[20:].argsort().argsort().tolist()
