"""Sentences of words with tags, from lists, texts and CoNLL files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limbeck.data import TaggedWords, load_tagged_words
from limbeck.data.loading.files import open_table
from limbeck.data.text.tagged_words import may_be_tagged_words


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_names_are_sorted_with_o_first(tmp_path: Path) -> None:
    found = load_tagged_words(parquet(tmp_path, tokens=[["Ada", "is"], ["in", "Rome"]], tags=[["B-PER", "O"], ["O", "B-LOC"]]))
    assert found == TaggedWords((("Ada", "is"), ("in", "Rome")), ((2, 0), (0, 1)), ("O", "B-LOC", "B-PER"))


def test_texts_are_split_at_spaces_and_null_is_unlabelled(tmp_path: Path) -> None:
    found = load_tagged_words(parquet(tmp_path, words=["Ada  is", "x"], ner_tags=["B-PER O", None]))
    assert found.words == (("Ada", "is"), ("x",))
    assert found.tags == ((1, 0), None)


def test_numbers_have_names_from_classes_json(tmp_path: Path) -> None:
    path = parquet(tmp_path, tokens=[["Ada", "is"]], ner_tags=[[1, 0]])
    with pytest.raises(ValueError, match=r"rows\.parquet.*numbers up to 1.*classes\.json"):
        load_tagged_words(path)
    (tmp_path / "classes.json").write_text(json.dumps(["O", "B-PER"]))
    assert load_tagged_words(path).names == ("O", "B-PER")
    (tmp_path / "classes.json").write_text(json.dumps(["O"]))
    with pytest.raises(ValueError, match="holds the tag 1, and there are 1 names"):
        load_tagged_words(path)


def test_numbers_have_names_from_the_features(tmp_path: Path) -> None:
    features = {"ner_tags": {"feature": {"names": ["O", "B-X"], "_type": "ClassLabel"}, "_type": "Sequence"}}
    table = pa.table({"tokens": [["a"]], "ner_tags": [[1]]})
    kept = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(kept, tmp_path / "rows.parquet")
    assert load_tagged_words(tmp_path / "rows.parquet").names == ("O", "B-X")


def test_bad_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 1 has 1 words and 2 tags"):
        load_tagged_words(parquet(tmp_path, tokens=[["a"], ["b"]], tags=[["O"], ["O", "O"]]))
    with pytest.raises(ValueError, match="row 0 holds None; expected a list of words"):
        load_tagged_words(parquet(tmp_path, tokens=pa.array([None], pa.list_(pa.string())), tags=[["O"]]))
    with pytest.raises(ValueError, match="which column holds the words"):
        load_tagged_words(parquet(tmp_path, sentence=["a"], tags=[["O"]]))
    with pytest.raises(ValueError, match=r"label='nre'.*tokens, tags"):
        load_tagged_words(parquet(tmp_path, tokens=[["a"]], tags=[["O"]]), tags="nre")
    (tmp_path / "classes.json").write_text(json.dumps(["O", "B-PER"]))
    with pytest.raises(ValueError, match=r"'B-PRE', which classes\.json does not name; nearest: B-PER"):
        load_tagged_words(parquet(tmp_path, tokens=[["a"]], tags=[["B-PRE"]]))


def test_text_files_are_conll_here(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("Ada B-PER\nis O\n")
    for found in (load_tagged_words(tmp_path / "train.txt"), load_tagged_words(tmp_path, "train")):
        assert found == TaggedWords((("Ada", "is"),), ((1, 0),), ("O", "B-PER"))
    assert load_tagged_words(tmp_path, "train", tags=False).tags == (None,)


def test_tables_of_tagged_words_are_recognised(tmp_path: Path) -> None:
    tagged = parquet(tmp_path, tokens=[["a"]], ner_tags=[[0]])
    assert may_be_tagged_words(open_table(tagged, None))
    assert not may_be_tagged_words(open_table(parquet(tmp_path, text=["a"], label=[0]), None))
