"""The default number of rows in a shard."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import (
    StoreBuilder,
    StoreError,
)
from tests.teacher_cache import examples


def test_the_size_of_a_shard_follows_from_an_example(tmp_path: Path) -> None:
    keys = examples.keys(30)
    with StoreBuilder(tmp_path / "a", keys, 1, examples.DENSE, {}, example={"logits": torch.zeros(2, 1000)}) as one:
        assert one.manifest.segments[0].rows_per_shard == 32_000
    with StoreBuilder(tmp_path / "b", keys, 1, examples.DENSE, {}, example=examples.dense(keys[:2], 0)) as one:
        assert one.manifest.segments[0].rows_per_shard == 2**18
    with pytest.raises(StoreError, match="rows_per_shard: give it, or an example"):
        StoreBuilder(tmp_path / "c", keys, 1, examples.DENSE, {})
