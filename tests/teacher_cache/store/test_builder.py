from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import (
    Dense,
    Store,
    StoreBuilder,
    StoreError,
    TopKCodec,
    check_store,
)
from tests import ranks
from tests.teacher_cache import build_script, examples

ROOT = Path(__file__).parents[2]


def test_a_store_returns_the_signals_it_was_built_from(tmp_path: Path) -> None:
    keys = examples.keys(50)
    store = examples.build(tmp_path, torch.cat([keys, keys[:7]]))
    assert (store.samples, store.views, store.complete) == (50, 2, True)
    for view in (0, 1):
        read = store.read(keys, view).signals["logits"]
        assert torch.equal(read, examples.drawn(keys, view, 0, 10).half().float())
    assert check_store(tmp_path, progress=False) == []


def test_the_bytes_do_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    for batch in (1, 7, 20):
        with examples.builder(tmp_path / str(batch), examples.keys(50)) as one:
            examples.fill(one, batch=batch)
    contents = [examples.content(tmp_path / str(batch)) for batch in (1, 7, 20)]
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_a_stopped_build_continues_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path / "quiet", keys)

    def stop_inside(one: StoreBuilder) -> None:
        for number, task in enumerate(one.pending()):
            for part in task.keys.split(4):
                one.write(task, examples.dense(part, task.view))
                if number == stop:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), examples.builder(tmp_path / "stopped", keys) as one:
        stop_inside(one)
    store = Store.open(tmp_path / "stopped")
    assert int(store.has(keys, 0).sum()) + int(store.has(keys, 1).sum()) == sum([20, 20, 10, 20, 20, 10][:stop])
    with examples.builder(tmp_path / "stopped", keys) as one:
        assert examples.fill(one) == 6 - stop
    assert examples.content(tmp_path / "stopped") == examples.content(tmp_path / "quiet")


def test_a_killed_build_continues_to_the_same_bytes(tmp_path: Path) -> None:
    keys, draw = examples.keys(build_script.SAMPLES), random.Random(0)
    examples.build(tmp_path / "quiet", keys, build_script.VIEWS, examples.CODECS, examples.signals, build_script.ROWS)
    for _ in range(3):
        assert build_script.killed(tmp_path / "killed", pause=0.02, after=draw.uniform(0, 0.4))
    examples.build(tmp_path / "killed", keys, build_script.VIEWS, examples.CODECS, examples.signals, build_script.ROWS)
    assert examples.content(tmp_path / "killed") == examples.content(tmp_path / "quiet")


def test_two_processes_write_the_store_of_one(tmp_path: Path) -> None:
    examples.build(
        tmp_path / "one",
        examples.keys(build_script.SAMPLES),
        build_script.VIEWS,
        examples.CODECS,
        examples.signals,
        build_script.ROWS,
    )
    ranks.run(2, "tests.teacher_cache.build_script", tmp_path / "two")
    whole = examples.content(tmp_path / "one")
    assert examples.content(tmp_path / "two" / "built") == whole
    assert examples.content(tmp_path / "two" / "incremental") == whole


def test_processes_share_the_shards(tmp_path: Path) -> None:
    with examples.builder(tmp_path, examples.keys(50), views=3) as one:
        tasks = [list(one.pending(rank, 4)) for rank in range(4)]
    assert sorted(map(len, tasks)) == [2, 2, 2, 3]
    assert len({(task.view, task.block) for of_rank in tasks for task in of_rank}) == 9


def test_rows_must_come_in_order_and_in_number(tmp_path: Path) -> None:
    with examples.builder(tmp_path, examples.keys(50)) as one:
        first, second, *_ = one.pending()
        one.write(first, examples.dense(first.keys[:5], 0))
        with pytest.raises(StoreError, match="still lacks 15 rows"):
            one.write(second, examples.dense(second.keys, 0))
        with pytest.raises(StoreError, match="expected up to 15 rows"):
            one.write(first, examples.dense(first.keys, 0))
        with pytest.raises(StoreError, match="expected taps logits, found features"):
            one.write(first, {"features": torch.zeros(3, 4)})
        with pytest.raises(
            StoreError, match=r"logits//values: torch.float16 \[11\] per item, where this store holds torch.float16 \[10\]"
        ):
            one.write(first, {"logits": torch.zeros(3, 11)})


def test_the_bytes_of_an_item_stay_within_the_limits(tmp_path: Path) -> None:
    """Dense fp16 of 10 classes ≤ 24, 1,000 classes k = 16 ≤ 56, at 8 views: index, manifest and page included."""
    keys = examples.keys(4000)
    for name, codec, classes, bar in (("ten", Dense("fp16"), 10, 24), ("thousand", TopKCodec(16, 1000), 1000, 56)):
        with StoreBuilder(tmp_path / name, keys, 8, {"logits": codec}, {}, rows_per_shard=4000) as one:
            logits = torch.randn(200, classes)
            examples.fill(one, lambda part, view, logits=logits: {"logits": logits.repeat(len(part) // 200, 1)}, batch=2000)
        size = sum(map(len, examples.content(tmp_path / name).values()))
        assert size / (8 * len(keys)) <= bar
