"""`limit`: the first items, read no further than that takes, and the same as of all items."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.data import Items, load_fields, load_items, load_questions, load_tagged_words
from limbeck.data.loading import formats, hugging_face
from limbeck.recipe.schema.data import DatasetSpec
from tests.data.loading.files import CELLS, EXPECTED, PIXELS, everything, folder_of_images, parquet, png
from tests.data.loading.test_formats import write

COUNT = 60
NAMES = ["b"] * 40 + ["a"] * 10 + ["c"] * 10  # the first rows show one of three classes
ROWS = {"text": [f"text {row}" for row in range(COUNT)], "label": NAMES, "year": [2000 + row % 3 for row in range(COUNT)]}
COLUMNS: dict[str, Any] = {"input": "text", "label": "label"}


def same(found: Items, expected: Items) -> bool:
    return (
        found.fingerprint() == expected.fingerprint()
        and (found.classes, found.class_names) == (expected.classes, expected.class_names)
        and len(found) == len(expected)
    )


def first(items: Items, count: int) -> Items:
    return items.select(torch.arange(count))


@pytest.fixture(autouse=True)
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "ROWS", 8)
    monkeypatch.setattr(formats, "BLOCK", 256)
    monkeypatch.setattr(hugging_face, "ROWS", 8)


def in_file(folder: Path, kind: str) -> Any:
    table = pa.table(ROWS)
    if kind == "shards":
        for shard in range(3):
            write(folder / f"train-{shard}.parquet", table.slice(20 * shard, 20), "parquet")
        return folder
    if kind == "json":
        (folder / "a.json").write_text(json.dumps(table.to_pylist()))
        return folder / "a.json"
    return write(folder / f"a.{kind.split()[0]}", table, kind)


@pytest.mark.parametrize("kind", ["parquet", "shards", "csv", "tsv", "jsonl", "json", "arrow stream", "arrow file"])
@pytest.mark.parametrize("label", ["label", "year"])
def test_files(tmp_path: Path, kind: str, label: str) -> None:
    file, split = in_file(tmp_path, kind), "train" if kind == "shards" else None
    for options in ({}, {"where": {"year": [2001, 2002]}}, {"where": {"label": "c"}}):
        given: dict[str, Any] = {**COLUMNS, "label": label, "split": split, **options}
        assert same(load_items(file, limit=7, **given), first(load_items(file, **given), 7))
    assert same(load_items(file, limit=100, split=split, **COLUMNS), load_items(file, split=split, **COLUMNS))


def test_tables_in_memory_and_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    plain = datasets.Dataset.from_dict(ROWS)
    plain.save_to_disk(str(tmp_path / "saved"))
    for table in (pd.DataFrame(ROWS), pa.table(ROWS), plain, plain.select(range(COUNT)), tmp_path / "saved"):
        assert same(load_items(table, limit=7, **COLUMNS), first(load_items(table, **COLUMNS), 7))
    spec = DatasetSpec.model_validate({"path": str(tmp_path / "saved"), "limit": 7, **COLUMNS})
    assert same(spec.load(), first(load_items(plain, **COLUMNS), 7))


def test_images_digits_tables_and_fields(tmp_path: Path) -> None:
    for path in (folder_of_images(tmp_path / "images"), parquet(tmp_path / "a.parquet", image=CELLS, label=[2, 1, 0, 1, 2, 3])):
        assert same(load_items(path, limit=2), first(load_items(path), 2))
    assert same(load_items("digits", limit=20, split="train"), first(load_items("digits", split="train"), 20))
    rows = parquet(tmp_path / "rows.parquet", age=list(range(9)), job=["x", "y", "z"] * 3, label=list("aabbccdde"))
    assert same(load_items(rows, limit=2), first(load_items(rows), 2))
    pairs = parquet(tmp_path / "pairs.parquet", text=["a", None, "b", "c"], image=CELLS[:4], label=["z", "x", "y", "w"])
    expected = load_fields(pairs, ["text", "image"], {}, where={"label": ["z", "y", "w"]})
    for limit, missing in ((1, "refuse"), (2, "skip")):
        found = load_fields(pairs, ["text", "image"], {}, missing=missing, limit=limit)
        assert found.keys.tolist() == expected.keys[:limit].tolist()


def test_the_first_that_decode(tmp_path: Path) -> None:
    broken = {"bytes": b"no image", "path": None}
    path = parquet(tmp_path / "a.parquet", image=[CELLS[0], broken, *CELLS[1:]], label=[0, 0, 1, 2, 0, 1, 2])
    with pytest.warns(UserWarning, match="do not decode|does not decode|cannot be"):
        assert same(load_items(path, limit=3, on_error="skip"), first(load_items(path, on_error="skip"), 3))


def test_questions_and_tagged_words(tmp_path: Path) -> None:
    answers = [{"text": ["a"], "answer_start": [0]}] * 5
    squad = parquet(tmp_path / "q.parquet", id=list("abcde"), context=["a b"] * 5, question=list("vwxyz"), answers=answers)
    assert load_questions(squad, limit=2) == load_questions(squad).select(range(2))
    tagged = tmp_path / "a.conll"
    tagged.write_text("Ann B-PER\nran O\n\nto O\n\nRome B-LOC\n")
    (tmp_path / "a.txt").write_bytes(tagged.read_bytes())
    for path in (tagged, tmp_path / "a.txt"):
        whole, found = load_tagged_words(path), load_tagged_words(path, limit=2)
        assert (found.words, found.tags, found.names) == (whole.words[:2], whole.tags[:2], whole.names)


def test_a_text_far_below_numbers_makes_them_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "BLOCK", 200)  # so that the text is not among the rows whose types are seen first
    rows = [f"{row % 2},{row:03d},{'x' * 20}" for row in range(60)]
    (tmp_path / "codes.csv").write_text("\n".join(["label,text,note", *rows, "unknown,no code,x"]) + "\n")
    found = load_items(tmp_path / "codes.csv", limit=3, **COLUMNS)
    assert found.storage.texts == ["000", "001", "002"]
    assert found.class_names == ["0", "1", "unknown"]


def test_damage_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    """Labels are read to the end where classes have no names elsewhere; inputs are not."""
    text = [f"{row:08d}" for row in range(COUNT)]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": text, "label": NAMES}), file, row_group_size=10, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    place = content.index(b"00000040")
    content[place - 20 : place + 40] = b"\xff" * 60
    file.write_bytes(content)
    assert load_items(file, limit=20).class_names == ["a", "b", "c"]
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        load_items(file, limit=45)
    (tmp_path / "classes.json").write_text('["b"]')
    (tmp_path / "a.csv").write_text("text,label\n" + "fine,b\n" * 200 + "odd,b,one cell too many\n")
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "label": "b"}\n' * 200 + "{")
    for name in ("a.csv", "a.jsonl"):
        assert len(load_items(tmp_path / name, limit=5)) == 5
        with pytest.raises(ValueError, match="cannot be read as"):
            load_items(tmp_path / name, limit=500)


def test_types_that_are_seen_late(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "fine,1\n" * 100 + "odd,one\n")
    found = load_items(tmp_path / "a.csv", limit=5)
    assert found.class_names == ["1", "one"]
    assert len(found) == 5


# --- streams -----------------------------------------------------------------------------------------------------------


def stream(taken: list[int], count: int = COUNT) -> Any:
    datasets = pytest.importorskip("datasets")

    def rows() -> Iterator[dict[str, Any]]:
        for row in range(count):
            taken.append(row)
            yield {"text": f"text {row}", "label": row % 3}

    return datasets.IterableDataset.from_generator(rows)


def test_a_stream_is_read_as_far_as_the_limit() -> None:
    taken: list[int] = []
    items = load_items(stream(taken), limit=20, **COLUMNS)
    assert max(taken) <= 20
    assert same(items, load_items(pa.table({"text": ROWS["text"][:20], "label": [row % 3 for row in range(20)]}), **COLUMNS))
    assert len(load_items(stream([]), limit=10, where={"label": 2}, **COLUMNS)) == 10
    assert len(load_items(stream([]), limit=1000, **COLUMNS)) == COUNT


def test_a_stream_without_a_known_end_needs_a_limit() -> None:
    taken: list[int] = []
    with pytest.raises(ValueError, match=r"does not say how many items it has; .* load_items\(stream, limit=100000\)"):
        load_items(stream(taken), **COLUMNS)
    assert not taken
    known = stream(taken)
    datasets = pytest.importorskip("datasets")
    known.info.splits = datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=COUNT)})
    assert len(load_items(known, **COLUMNS)) == COUNT
    with pytest.raises(ValueError, match=r"more than the 60 items"):
        load_items(known.repeat(None), **COLUMNS)


def test_a_stream_keeps_class_names_and_files_in_archives(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["yes", "no"]))
    plain = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 1]}, features=features)
    assert load_items(plain.to_iterable_dataset(), limit=2).class_names == ["yes", "no"]
    both = datasets.IterableDatasetDict(train=plain.to_iterable_dataset())
    assert len(load_items(both, split="train", limit=1)) == 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for row in range(2):
            archive.writestr(f"{row}.png", CELLS[row]["bytes"])
    options = {"data_files": str(tmp_path / "a.zip"), "split": "train", "streaming": True, "drop_labels": True}
    assert len(load_items(datasets.load_dataset("imagefolder", **options), limit=2)) == 2


@pytest.mark.parametrize("path", [None, "a.png"])
def test_a_stream_of_images_that_declares_nothing(path: str | None) -> None:
    rows = [{"image": {"bytes": png(pixels), "path": path}, "label": row} for row, pixels in enumerate(PIXELS)]
    import datasets

    undeclared = datasets.IterableDataset.from_generator(lambda: iter(rows))
    assert torch.equal(everything(load_items(undeclared, limit=4)), EXPECTED[:4])
    assert load_items(undeclared.map(lambda row: row | {"label": 0}), limit=4).target.tolist() == [0, 0, 0, 0]


def test_a_data_set_of_the_hub_is_streamed_with_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    plain, asked = datasets.Dataset.from_dict(ROWS), []

    def load(name: str, split: str | None, streaming: bool = False) -> Any:
        asked.append(streaming)
        return plain.to_iterable_dataset() if streaming else plain

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("limbeck.utils.hub.is_reachable", lambda address: True)
    assert same(load_items("someone/something", limit=7, **COLUMNS), first(load_items(plain, **COLUMNS), 7))
    assert asked == [True, False]  # names of classes are those of all labels
    asked.clear()
    load_items("someone/something", limit=7, input="text", label=False)
    assert asked == [True]
