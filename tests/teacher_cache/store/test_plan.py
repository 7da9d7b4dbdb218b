"""What a store is to hold, and how it grows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import (
    Dense,
    IdentityError,
    StoreBuilder,
    StoreError,
)
from tests.teacher_cache import examples


def test_more_views_add_shards_and_change_no_file(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path / "grown", keys, views=2)
    before = {name: content for name, content in examples.content(tmp_path / "grown").items() if "segments" in name}
    store = examples.build(tmp_path / "grown", keys, views=3)
    after = examples.content(tmp_path / "grown")
    assert store.views == 3
    assert {name: after[name] for name in before} == before
    examples.build(tmp_path / "whole", keys, views=3)
    assert after == examples.content(tmp_path / "whole")


def test_more_samples_become_a_segment(tmp_path: Path) -> None:
    keys = examples.keys(70)
    examples.build(tmp_path, keys[:50])
    before = {name: content for name, content in examples.content(tmp_path).items() if "segments" in name}
    store = examples.build(tmp_path, keys)
    after = examples.content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert (store.samples, len(store.manifest.segments), store.complete) == (70, 2, True)
    read = store.read(keys, torch.arange(70) % 2).signals["logits"]
    want = torch.stack([examples.drawn(keys[i : i + 1], i % 2, 0, 10)[0] for i in range(70)])
    assert torch.equal(read, want.half().float())  # type: ignore[arg-type]
    part = examples.build(tmp_path, keys[:10])  # fewer samples: nothing to do
    assert part.samples == 70


def test_views_of_samples_that_are_not_given_cannot_be_added(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    with pytest.raises(StoreError, match="3 shards are missing for 3 views, and they hold samples"):
        examples.builder(tmp_path, keys[:49], views=3)


def test_a_store_of_another_teacher_is_not_written_to(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    before = examples.content(tmp_path)
    with pytest.raises(IdentityError, match="teacher: the store was made with"):
        StoreBuilder(tmp_path, keys, 2, examples.DENSE, {**examples.IDENTITY, "teacher": "other"}, rows_per_shard=20)
    with pytest.raises(IdentityError, match=r"signal logits: the store was made with .Dense\(precision='fp16'\)"):
        StoreBuilder(tmp_path, keys, 2, {"logits": Dense("bf16")}, examples.IDENTITY, rows_per_shard=20)
    assert examples.content(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 0}, "views: expected 1 to 9,999"),
        ({"keys": torch.zeros(0, dtype=torch.int64)}, "keys: expected int64"),
        ({"keys": torch.zeros(3)}, "keys: expected int64"),
        ({"rows_per_shard": 0}, "rows_per_shard: expected"),
        ({"codecs": {}}, "codecs: expected a codec for at least one tap"),
        ({"identity": {"teacher": None}}, "identity: expected a string or a number for teacher, found None"),
        ({"codecs": {"a//b": Dense()}}, "taps: 'a//b' cannot be a name"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    arguments = {"keys": examples.keys(3), "views": 1, "codecs": examples.DENSE, "identity": {}, "rows_per_shard": 3, **changes}
    with pytest.raises(StoreError, match=message):
        StoreBuilder(tmp_path, **arguments)  # type: ignore[arg-type]
