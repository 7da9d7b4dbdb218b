from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.teacher_cache import IdentityError, IncrementalStore, StoreError, TokenSignals
from limbeck.utils.folder_lock import FolderInUseError
from tests.teacher_cache import examples


def logits(keys: torch.Tensor, view: int) -> torch.Tensor:
    return examples.drawn(keys, view, 0, 10).half().float()


def test_rows_are_readable_at_once(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as one:
        for part in keys[torch.randperm(50)].split(12):
            one.append(part, 1, examples.dense(part, 1))
            assert bool(one.has(part, 1).all())
            assert not bool(one.has(part, 0).any())
            assert torch.equal(one.read(part, 1).signals["logits"], logits(part, 1))  # type: ignore[arg-type]
        mixed = one.read(keys, torch.arange(50) % 2)
        assert mixed.found.tolist() == [False, True] * 25
        assert torch.equal(mixed.signals["logits"], logits(keys[1::2], 1))  # type: ignore[arg-type]
        assert not one.complete


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 30), st.integers(1, 70), st.booleans(), st.integers(0, 2**32))
def test_a_compacted_store_has_the_bytes_of_a_builder(
    tmp_path_factory: pytest.TempPathFactory, batch: int, part: int, reopen: bool, seed: int
) -> None:
    folder, keys = tmp_path_factory.mktemp("stores"), examples.keys(25)
    examples.build(folder / "built", keys, codecs=examples.CODECS, give=examples.signals)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(seed))
    one = examples.incremental(folder / "kept", keys, examples.CODECS, rows=part)
    for places in order.split(batch):
        for view in (0, 1):
            some = keys[places[places // 25 == view] % 25]
            one.append(some, view, examples.signals(some, view))
        if reopen:
            one.flush()
            one.close()
            one = examples.incremental(folder / "kept", keys, examples.CODECS, rows=part)
    assert one.complete
    one.compact()
    one.close()
    assert examples.content(folder / "kept") == examples.content(folder / "built")
    assert not (folder / "kept" / "journal").exists()


def test_a_compacted_store_is_still_readable(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as one:
        for view in (0, 1):
            one.append(keys, view, examples.dense(keys, view))
        one.compact()
        assert one.complete
        assert torch.equal(one.read(keys, 1).signals["logits"], logits(keys, 1))  # type: ignore[arg-type]


def test_an_incomplete_journal_is_not_compacted(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as one:
        one.append(keys[:30], 0, examples.dense(keys[:30], 0))
        with pytest.raises(StoreError, match="70 rows are missing"):
            one.compact()


def test_a_reopened_store_continues_its_journal(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as one:
        one.append(keys[:40], 0, examples.dense(keys[:40], 0))
    with examples.incremental(tmp_path, keys) as one:
        assert torch.equal(one.has(keys, 0), torch.arange(50) < 40)
        assert torch.equal(one.read(keys[:40], 0).signals["logits"], logits(keys[:40], 0))  # type: ignore[arg-type]
        one.append(keys[30:], 0, examples.dense(keys[30:], 0))
        assert bool(one.has(keys, 0).all())
    assert sorted(path.name for path in (tmp_path / "journal").iterdir()) == [
        "0000-000000.safetensors",
        "0000-000001.safetensors",
    ]


def test_a_row_that_is_appended_again_does_not_change(tmp_path: Path) -> None:
    keys = examples.keys(5)
    with examples.incremental(tmp_path, keys) as one:
        twice = torch.cat([keys, keys[:2]])
        one.append(twice, 0, {"logits": torch.arange(7.0).unsqueeze(1).expand(7, 10)})
        one.append(keys, 0, {"logits": torch.full((5, 10), 99.0)})
        read = one.read(keys, 0).signals["logits"]
        assert isinstance(read, torch.Tensor)
        assert read[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_rows_in_shards_are_not_stored_again(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys, views=1)
    with examples.incremental(tmp_path, keys, views=2) as one:
        assert bool(one.has(keys, 0).all())
        one.append(keys, 0, examples.dense(keys, 0))
        one.flush()
        assert not (tmp_path / "journal").exists()
        one.append(keys, 1, examples.dense(keys, 1))
        both = one.read(keys, torch.arange(50) % 2).signals["logits"]
        want = torch.cat([logits(keys[i : i + 1], i % 2) for i in range(50)])
        assert torch.equal(both, want)  # type: ignore[arg-type]
        one.compact()
    examples.build(tmp_path / "whole", keys, views=2)
    assert {k: v for k, v in examples.content(tmp_path).items() if "whole" not in k} == examples.content(tmp_path / "whole")


def test_ragged_signals_are_read_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    keys = examples.keys(20)
    with examples.incremental(tmp_path, keys, examples.CODECS, rows=8) as one:
        for part in keys.split(6):
            one.append(part, 0, examples.signals(part, 0))
        text = one.read(keys, 0, ["text"], hashes=keys * 5).signals["text"]
        assert isinstance(text, TokenSignals)
        assert torch.equal(text.lengths, keys.remainder(4))


def test_unknown_samples_and_views_are_refused(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys[:40]) as one:
        with pytest.raises(StoreError, match=f"sample {int(keys[40])}, view 0: the store was not opened for it"):
            one.append(keys, 0, examples.dense(keys, 0))
        with pytest.raises(StoreError, match="view 2: the store was not opened for it"):
            one.append(keys[:3], 2, examples.dense(keys[:3], 2))
        with pytest.raises(StoreError, match="NaN or infinity"):
            one.append(keys[:1], 0, {"logits": torch.full((1, 10), float("nan"))})
        assert not bool(one.has(keys, 0).any())


def test_one_writer_at_a_time_and_of_one_teacher(tmp_path: Path) -> None:
    keys = examples.keys(10)
    with examples.incremental(tmp_path, keys), pytest.raises(FolderInUseError):
        examples.incremental(tmp_path, keys)
    with pytest.raises(IdentityError, match="teacher"):
        IncrementalStore(tmp_path, keys, 2, examples.DENSE, {**examples.IDENTITY, "teacher": "x"}, rows_per_shard=20)


def test_who_only_reads_finds_rows_of_the_journal_beside_a_writer(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as writer:
        writer.append(keys[:40], 0, examples.dense(keys[:40], 0))
        writer.flush()
        before = examples.content(tmp_path)
        reads = IncrementalStore(tmp_path, keys, 2, examples.DENSE, examples.IDENTITY, read_only=True)
        with reads as reader:
            assert reader.has(keys, 0).tolist() == [True] * 40 + [False] * 10
            assert not bool(reader.has(keys, 1).any())
        assert examples.content(tmp_path) == before
    with pytest.raises(IdentityError):
        IncrementalStore(tmp_path, keys, 2, examples.DENSE, {"teacher": "another"}, read_only=True)
