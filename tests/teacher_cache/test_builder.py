from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
import torch

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache import (
    CorruptFileError,
    Dense,
    DiskFullError,
    IdentityError,
    Store,
    StoreBuilder,
    StoreError,
    TopKCodec,
    check_store,
)
from limbeck.utils.folder_lock import FolderInUseError
from tests import ranks
from tests.teacher_cache import building, made

ROOT = Path(__file__).parents[2]
DENSE = {"logits": Dense("fp16")}


def builder(folder: Path, keys: torch.Tensor, views: int = 2, **changes: object) -> StoreBuilder:
    return StoreBuilder(folder, keys, views, DENSE, made.IDENTITY, **{"rows_per_shard": 20, **changes})  # type: ignore[arg-type]


def test_a_store_gives_back_what_was_built(tmp_path: Path) -> None:
    keys = made.keys(50)
    store = made.build(tmp_path, torch.cat([keys, keys[:7]]))
    assert (store.samples, store.views, store.complete) == (50, 2, True)
    for view in (0, 1):
        read = store.read(keys, view).signals["logits"]
        assert torch.equal(read, made.drawn(keys, view, 0, 10).half().float())
    assert check_store(tmp_path, progress=False) == []


def test_batches_leave_no_trace(tmp_path: Path) -> None:
    for batch in (1, 7, 20):
        with builder(tmp_path / str(batch), made.keys(50)) as one:
            made.fill(one, batch=batch)
    contents = [made.content(tmp_path / str(batch)) for batch in (1, 7, 20)]
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_a_build_that_stopped_goes_on_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    keys = made.keys(50)
    made.build(tmp_path / "quiet", keys)

    def stop_inside(one: StoreBuilder) -> None:
        for number, task in enumerate(one.pending()):
            for part in task.keys.split(4):
                one.write(task, made.dense(part, task.view))
                if number == stop:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), builder(tmp_path / "stopped", keys) as one:
        stop_inside(one)
    store = Store.open(tmp_path / "stopped")
    assert int(store.has(keys, 0).sum()) + int(store.has(keys, 1).sum()) == sum([20, 20, 10, 20, 20, 10][:stop])
    with builder(tmp_path / "stopped", keys) as one:
        assert made.fill(one) == 6 - stop
    assert made.content(tmp_path / "stopped") == made.content(tmp_path / "quiet")


def test_a_killed_build_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    keys, draw = made.keys(building.SAMPLES), random.Random(0)
    made.build(tmp_path / "quiet", keys, building.VIEWS, made.CODECS, made.signals, building.ROWS)
    for _ in range(3):
        assert building.killed(tmp_path / "killed", pause=0.02, after=draw.uniform(0, 0.4))
    made.build(tmp_path / "killed", keys, building.VIEWS, made.CODECS, made.signals, building.ROWS)
    assert made.content(tmp_path / "killed") == made.content(tmp_path / "quiet")


def test_two_ranks_make_the_store_of_one(tmp_path: Path) -> None:
    made.build(tmp_path / "one", made.keys(building.SAMPLES), building.VIEWS, made.CODECS, made.signals, building.ROWS)
    ranks.run(2, "tests.teacher_cache.building", tmp_path / "two")
    whole = made.content(tmp_path / "one")
    assert made.content(tmp_path / "two" / "built") == whole
    assert made.content(tmp_path / "two" / "kept") == whole


def test_ranks_share_the_shards(tmp_path: Path) -> None:
    with builder(tmp_path, made.keys(50), views=3) as one:
        tasks = [list(one.pending(rank, 4)) for rank in range(4)]
    assert sorted(map(len, tasks)) == [2, 2, 2, 3]
    assert len({(task.view, task.block) for of_rank in tasks for task in of_rank}) == 9


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with builder(tmp_path, made.keys(50)) as one:
        with pytest.raises(FolderInUseError, match="another process is at work"):
            builder(tmp_path, made.keys(50))
        made.fill(one)
    with builder(tmp_path, made.keys(50)) as one:
        assert made.fill(one) == 0


def test_a_full_disk_leaves_a_whole_store_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, room = made.keys(50), 2
    made.build(tmp_path / "quiet", keys)
    fdopen = os.fdopen

    def full(descriptor: int, mode: str) -> object:
        nonlocal room
        if not room:
            os.close(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 1
        return fdopen(descriptor, mode)

    with builder(tmp_path / "full", keys) as one:
        monkeypatch.setattr("limbeck.utils.atomic_files.os.fdopen", full)
        with pytest.raises(
            DiskFullError, match=r"disk is full. 2 of 6 shards .* about 0\.00[23] MB.*same command again"
        ) as caught:
            made.fill(one)
        monkeypatch.undo()
    assert isinstance(caught.value, OSError)
    assert check_store(tmp_path / "full", progress=False) == []
    assert int(Store.open(tmp_path / "full").has(keys, 0).sum()) == 40
    with builder(tmp_path / "full", keys) as one:
        assert made.fill(one) == 4
    assert made.content(tmp_path / "full") == made.content(tmp_path / "quiet")


def test_a_disk_that_has_no_room_for_the_manifest_either_shows_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFullError, match="0 of 6 shards"), builder(tmp_path, made.keys(50)) as one:  # noqa: PT012
        monkeypatch.setattr("limbeck.utils.atomic_files.os.fdopen", full)
        made.fill(one)
    monkeypatch.undo()
    assert check_store(tmp_path, progress=False) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_sample_without_a_finite_answer_is_named_and_not_stored(tmp_path: Path, bad: float) -> None:
    keys = made.keys(50).sort().values

    def give(part: torch.Tensor, view: int) -> dict[str, AnySignal]:
        logits = made.drawn(part, view, 0, 10)
        logits[part == keys[25], 3] = bad if view == 1 else 0.0
        return {"logits": logits}

    name = {int(key): f"img_{number}.png" for number, key in enumerate(keys)}
    with (
        pytest.raises(StoreError, match=r"tap 'logits', sample img_25.png, view 1: NaN or infinity; nothing was stored"),
        builder(tmp_path, keys, describe=lambda key: name[key]) as one,
    ):
        made.fill(one, give)
    store = Store.open(tmp_path)
    assert not bool(store.has(keys[25:26], 1))
    assert bool(store.has(keys, 0).all())


def test_more_views_add_shards_and_change_none(tmp_path: Path) -> None:
    keys = made.keys(50)
    made.build(tmp_path / "grown", keys, views=2)
    before = {name: content for name, content in made.content(tmp_path / "grown").items() if "segments" in name}
    store = made.build(tmp_path / "grown", keys, views=3)
    after = made.content(tmp_path / "grown")
    assert store.views == 3
    assert {name: after[name] for name in before} == before
    made.build(tmp_path / "whole", keys, views=3)
    assert after == made.content(tmp_path / "whole")


def test_more_samples_are_a_segment_of_their_own(tmp_path: Path) -> None:
    keys = made.keys(70)
    made.build(tmp_path, keys[:50])
    before = {name: content for name, content in made.content(tmp_path).items() if "segments" in name}
    store = made.build(tmp_path, keys)
    after = made.content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert (store.samples, len(store.manifest.segments), store.complete) == (70, 2, True)
    read = store.read(keys, torch.arange(70) % 2).signals["logits"]
    want = torch.stack([made.drawn(keys[i : i + 1], i % 2, 0, 10)[0] for i in range(70)])
    assert torch.equal(read, want.half().float())  # type: ignore[arg-type]
    part = made.build(tmp_path, keys[:10])  # fewer samples: nothing to do
    assert part.samples == 70


def test_views_of_samples_that_are_not_given_cannot_be_added(tmp_path: Path) -> None:
    keys = made.keys(50)
    made.build(tmp_path, keys)
    with pytest.raises(StoreError, match="3 shards are missing for 3 views, and they hold samples"):
        builder(tmp_path, keys[:49], views=3)


def test_a_store_of_another_teacher_is_not_written_to(tmp_path: Path) -> None:
    keys = made.keys(50)
    made.build(tmp_path, keys)
    before = made.content(tmp_path)
    with pytest.raises(IdentityError, match="teacher: the store was made with"):
        StoreBuilder(tmp_path, keys, 2, DENSE, {**made.IDENTITY, "teacher": "other"}, rows_per_shard=20)
    with pytest.raises(IdentityError, match=r"signal logits: the store was made with .Dense\(precision='fp16'\)"):
        StoreBuilder(tmp_path, keys, 2, {"logits": Dense("bf16")}, made.IDENTITY, rows_per_shard=20)
    assert made.content(tmp_path) == before


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "other"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    keys = made.keys(50)
    made.build(tmp_path, keys)
    whole = made.content(tmp_path)
    path = tmp_path / "segments/000/0001-00001.safetensors"
    data = path.read_bytes()
    {
        "flip": lambda: path.write_bytes(data[:-1] + bytes([data[-1] ^ 1])),
        "cut": lambda: path.write_bytes(data[:-1]),
        "delete": path.unlink,
        "other": lambda: path.write_bytes((tmp_path / "segments/000/0000-00001.safetensors").read_bytes()),
    }[damage]()
    with pytest.raises(CorruptFileError, match=r"0001-00001.*delete this file and build the store again"):
        Store.open(tmp_path).read(keys, 1)
    path.unlink(missing_ok=True)
    made.build(tmp_path, keys)
    assert made.content(tmp_path) == whole


def test_shards_of_another_store_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    made.build(tmp_path, made.keys(40, seed=1))
    (tmp_path / "manifest.json").unlink()  # somebody deletes it, and builds for other samples in the same folder
    keys = made.keys(40, seed=2)
    read = made.build(tmp_path, keys).read(keys, 0).signals["logits"]
    assert torch.equal(read, made.drawn(keys, 0, 0, 10).half().float())


def test_rows_must_come_in_order_and_in_number(tmp_path: Path) -> None:
    with builder(tmp_path, made.keys(50)) as one:
        first, second, *_ = one.pending()
        one.write(first, made.dense(first.keys[:5], 0))
        with pytest.raises(StoreError, match="still lacks 15 rows"):
            one.write(second, made.dense(second.keys, 0))
        with pytest.raises(StoreError, match="expected up to 15 rows"):
            one.write(first, made.dense(first.keys, 0))
        with pytest.raises(StoreError, match="expected taps logits, found features"):
            one.write(first, {"features": torch.zeros(3, 4)})
        with pytest.raises(
            StoreError, match=r"logits//values: torch.float16 \[11\] per item, where this store holds torch.float16 \[10\]"
        ):
            one.write(first, {"logits": torch.zeros(3, 11)})


def test_taps_of_one_batch_have_as_many_rows(tmp_path: Path) -> None:
    codecs = {"a": Dense(), "b": Dense()}
    with StoreBuilder(tmp_path, made.keys(9), 1, codecs, {}, rows_per_shard=9) as one:
        task = next(one.pending())
        with pytest.raises(StoreError, match="the same number for each tap"):
            one.write(task, {"a": torch.zeros(3, 2), "b": torch.zeros(4, 2)})


def test_the_size_of_a_shard_is_learned_from_an_example(tmp_path: Path) -> None:
    keys = made.keys(30)
    with StoreBuilder(tmp_path / "a", keys, 1, DENSE, {}, example={"logits": torch.zeros(2, 1000)}) as one:
        assert one.manifest.segments[0].rows_per_shard == 32_000
    with StoreBuilder(tmp_path / "b", keys, 1, DENSE, {}, example=made.dense(keys[:2], 0)) as one:
        assert one.manifest.segments[0].rows_per_shard == 2**18
    with pytest.raises(StoreError, match="rows_per_shard: give it, or an example"):
        StoreBuilder(tmp_path / "c", keys, 1, DENSE, {})


def test_a_failed_opening_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="rows_per_shard"):
        StoreBuilder(tmp_path, made.keys(30), 1, DENSE, {})
    with builder(tmp_path, made.keys(30)) as one:
        assert made.fill(one) == 4


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
    arguments = {"keys": made.keys(3), "views": 1, "codecs": DENSE, "identity": {}, "rows_per_shard": 3, **changes}
    with pytest.raises(StoreError, match=message):
        StoreBuilder(tmp_path, **arguments)  # type: ignore[arg-type]


def test_the_bytes_of_an_item_keep_to_the_bars(tmp_path: Path) -> None:
    """Dense fp16 of 10 classes ≤ 24, 1,000 classes k = 16 ≤ 56, at 8 views: index, manifest and page included."""
    keys = made.keys(4000)
    for name, codec, classes, bar in (("ten", Dense("fp16"), 10, 24), ("thousand", TopKCodec(16, 1000), 1000, 56)):
        with StoreBuilder(tmp_path / name, keys, 8, {"logits": codec}, {}, rows_per_shard=4000) as one:
            logits = torch.randn(200, classes)
            made.fill(one, lambda part, view, logits=logits: {"logits": logits.repeat(len(part) // 200, 1)}, batch=2000)
        size = sum(map(len, made.content(tmp_path / name).values()))
        assert size / (8 * len(keys)) <= bar
