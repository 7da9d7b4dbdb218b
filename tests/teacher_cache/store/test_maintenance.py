from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import (
    CorruptFileError,
    IncrementalStore,
    Store,
    StoreBuilder,
    StoreError,
    check_store,
    prune_store,
    store_info,
)
from limbeck.utils.folder_lock import FolderInUseError
from tests.teacher_cache import examples


def test_info_adds_up(tmp_path: Path) -> None:
    examples.build(tmp_path, examples.keys(50), codecs=examples.CODECS, give=examples.signals)
    found = store_info(tmp_path)
    files = sum(map(len, examples.content(tmp_path).values()))
    assert (found.samples, found.views, found.segments, found.rows, found.complete) == (50, 2, 1, 100, True)
    assert found.total == files
    assert found.per_item == files / 100
    assert sum(found.by_part.values()) == pytest.approx(files / 100)
    assert found.by_part["logits//values"] == 20
    assert found.by_part["top//entries"] == 6  # 4 entries of 4 + 8 bits
    assert found.identity == examples.IDENTITY
    assert found.taps["text"] == "Tokens(each=TopKCodec(k=2, classes=300, values='steps'))"


def test_info_predicts_the_bytes_of_one_more_view(tmp_path: Path) -> None:
    keys = examples.keys(200)
    examples.build(tmp_path, keys, 2, rows=200)
    before = store_info(tmp_path)
    examples.build(tmp_path, keys, 3, rows=200)
    assert store_info(tmp_path).total - before.total == pytest.approx(before.per_view, rel=0.05)


def test_info_of_an_empty_store(tmp_path: Path) -> None:
    with StoreBuilder(tmp_path, examples.keys(9), 2, examples.CODECS, {}, rows_per_shard=5):
        pass
    found = store_info(tmp_path)
    assert (found.rows, found.per_item, found.per_view, found.complete) == (0, None, None, False)
    assert Store.open(tmp_path).read(examples.keys(9), 0).signals == {}


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    keys, draw = examples.keys(20), random.Random(5)
    examples.build(tmp_path, keys, 2, examples.CODECS, examples.signals, rows=20)
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path.name != ".lock"]
    whole = {path: path.read_bytes() for path in files}
    both, views = torch.cat([keys, keys]), torch.arange(40) // 20
    found = 0
    for _ in range(1000):
        path = draw.choices(files, [len(whole[path]) for path in files])[0]
        place, bit = draw.randrange(len(whole[path])), 1 << draw.randrange(8)
        path.write_bytes(whole[path][:place] + bytes([whole[path][place] ^ bit]) + whole[path][place + 1 :])
        if path.name == "README.md":  # no look-up reads it
            found += any(path.name in message for message in check_store(tmp_path, progress=False))
        else:
            with pytest.raises(CorruptFileError) as caught:
                Store.open(tmp_path).read(both, views)
            found += caught.value.path == path
        path.write_bytes(whole[path])
    assert found == 1000
    assert check_store(tmp_path, progress=False) == []


def test_check_names_every_corrupt_file(tmp_path: Path) -> None:
    examples.build(tmp_path, examples.keys(50))
    (tmp_path / "segments/000/0000-00001.safetensors").unlink()
    (tmp_path / "README.md").write_text("another page")
    os.truncate(tmp_path / "segments/000/0001-00002.safetensors", 100)
    messages = check_store(tmp_path, progress=True)
    assert [name for name in ("README.md", "0000-00001", "0001-00002") if any(name in message for message in messages)] == [
        "README.md",
        "0000-00001",
        "0001-00002",
    ]
    assert len(messages) == 3
    assert "no store" in check_store(tmp_path / "segments")[0]


def test_prune_removes_only_files_that_no_manifest_names(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    whole = examples.content(tmp_path)
    segment = tmp_path / "segments/000"
    (tmp_path / "journal").mkdir()
    (tmp_path / "segments/001").mkdir()
    loose = [
        segment / ".0000-00000.safetensors.x1y2z3",
        segment / "0007-00000.safetensors",
        tmp_path / "segments/001/keys.safetensors",
        tmp_path / "journal/0000-000000.safetensors",
        tmp_path / ".manifest.json.abc123",
    ]
    for path in loose:
        path.write_bytes(b"left over")
    mine = tmp_path / "notes.txt"
    mine.write_text("of the user")
    assert sorted(prune_store(tmp_path)) == sorted(loose)
    assert all(path.exists() for path in loose)
    assert sorted(prune_store(tmp_path, remove=True)) == sorted(loose)
    mine.unlink()
    assert examples.content(tmp_path) == whole
    assert not (tmp_path / "segments/001").exists()
    assert prune_store(tmp_path) == []


def test_prune_keeps_an_unfinished_journal_and_refuses_a_locked_store(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with IncrementalStore(tmp_path, keys, 2, {"logits": examples.Dense()}, {}, rows_per_shard=20) as journal:
        journal.append(keys, 0, examples.dense(keys, 0))
        with pytest.raises(FolderInUseError):
            prune_store(tmp_path)
    assert store_info(tmp_path).journal == 1
    assert prune_store(tmp_path, remove=True) == []
    with pytest.raises(StoreError, match="no store"):
        prune_store(tmp_path / "nowhere")


def test_info_counts_the_rows_of_a_journal(tmp_path: Path) -> None:
    keys = examples.keys(50)
    with examples.incremental(tmp_path, keys) as store:
        store.append(keys[:40], 0, examples.dense(keys[:40], 0))
    found = store_info(tmp_path)
    assert (found.rows, found.journal_rows, found.journal, found.complete) == (40, 40, 1, False)
    assert found.total == sum(map(len, examples.content(tmp_path).values()))


@pytest.mark.parametrize(
    "name", ["segments/000/keys.safetensors", "segments/000/0000-00000.safetensors", "manifest.json", "README.md"]
)
def test_what_is_deleted_as_the_message_says_is_built_again(tmp_path: Path, name: str) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    whole = examples.content(tmp_path)
    (tmp_path / name).write_bytes(b"half")
    (problem,) = check_store(tmp_path, progress=False)
    assert "Remedy: delete this file and build" in problem
    (tmp_path / name).unlink()
    assert all("Remedy: build" in line or "no store" in line for line in check_store(tmp_path, progress=False))
    examples.build(tmp_path, keys)
    assert examples.content(tmp_path) == whole
