from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.teacher_cache import CorruptFileError, IdentityError, Store, StoreError, read_manifest
from limbeck.teacher_cache.store.file_format import CHECKSUM_PLACEHOLDER, embed_checksum
from limbeck.teacher_cache.store.manifest import NAME
from tests.teacher_cache import examples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    examples.build(tmp_path / "store", examples.keys(30), codecs=examples.CODECS, give=examples.signals)
    return tmp_path / "store"


def test_a_manifest_is_read_as_it_was_written(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.codecs == examples.CODECS
    assert manifest.identity == examples.IDENTITY
    assert manifest.text().encode() == (folder / NAME).read_bytes()


def test_each_single_byte_counts(folder: Path) -> None:
    content = (folder / NAME).read_bytes()
    for place in range(0, len(content), 17):
        for flip in (1, 0x20):  # 0x20 turns a letter's case
            (folder / NAME).write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            with pytest.raises(CorruptFileError, match=NAME):
                read_manifest(folder)


@pytest.mark.parametrize("cut", [0, 1, 50, -2])
def test_a_truncated_manifest_is_refused(folder: Path, cut: int) -> None:
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:cut])
    with pytest.raises(CorruptFileError, match=NAME):
        read_manifest(folder)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The manifest changed by somebody who knows how to sign it."""
    fields = json.loads((folder / NAME).read_text())
    fields["checksum"] = CHECKSUM_PLACEHOLDER.decode()
    change(fields)
    (folder / NAME).write_bytes(embed_checksum(json.dumps(fields).encode())[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(segments=7),
        lambda m: m.update(segments=[{}]),
        lambda m: m.update(views=0),
        lambda m: m.update(views="8"),
        lambda m: m.update(identity=None),
        lambda m: m["taps"].update(logits={"codec": "gzip"}),
        lambda m: m["taps"].update(logits="dense"),
        lambda m: m["segments"][0].update(rows=-1),
        lambda m: m["segments"][0].update(rows_per_shard=0),
        lambda m: m["segments"][0].update(shards={"../../etc": {"sha256": "", "bytes": 0}}),
        lambda m: m["segments"][0].update(shards={"0000-00099": {"sha256": "", "bytes": 0}}),
        lambda m: m["segments"][0].update(shards={"0099-00000": {"sha256": "", "bytes": 0}}),
        lambda m: m.pop("readme"),
    ],
)
def test_fields_that_describe_no_store_are_an_error(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewritten(folder, change)
    with pytest.raises(CorruptFileError, match="do not describe a store"):
        read_manifest(folder)


def test_a_later_format_is_refused(folder: Path) -> None:
    rewritten(folder, lambda m: m.update(format=2))
    with pytest.raises(StoreError, match="format 2, and this version reads format 1; update limbeck"):
        read_manifest(folder)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store of teacher signals here"):
        Store.open(tmp_path)


def test_a_store_of_another_run_is_refused_with_every_difference(folder: Path) -> None:
    Store.open(folder, examples.IDENTITY, examples.CODECS)
    other = {**examples.IDENTITY, "teacher": "0000", "top_k": 5}
    del other["views"]
    codecs = {**examples.CODECS, "logits": examples.Dense("fp32")}
    with pytest.raises(IdentityError) as caught:
        Store.open(folder, other, codecs)
    message = str(caught.value)
    assert caught.value.names == ["teacher", "views", "signal logits", "top_k"]
    assert "teacher: the store was made with 'b1946ac9', this run has '0000'" in message
    assert "views: the store was made with 'd8e8fca2', this run has nothing of that name" in message
    assert "top_k: the store was made with nothing of that name, this run has 5" in message
    assert "Use another folder" in message
