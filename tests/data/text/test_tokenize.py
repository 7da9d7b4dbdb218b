"""Pairs of texts: how they are read, kept and known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import Items, load_items
from limbeck.data.content_keys import text_key

COLUMNS: dict[str, list[Any]] = {
    "question": ["who?", "", "why?"],
    "sentence": ["she.", "nothing", ""],
    "idx": [0, 1, 2],
    "label": ["yes", "no", None],
}


def parquet(folder: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def test_two_columns_are_pairs(tmp_path: Path) -> None:
    items = load_items(parquet(tmp_path, **COLUMNS), input=["question", "sentence"])
    assert items.fetch(torch.arange(3)) == [("who?", "she."), ("", "nothing"), ("why?", "")]
    assert items.target is not None
    assert items.target.tolist() == [1, 0, -100]
    assert items.class_names == ["no", "yes"]
    assert items.select(torch.tensor([2, 0])).fetch(torch.arange(2)) == [("why?", ""), ("who?", "she.")]


def test_one_column_in_a_list_is_that_column(tmp_path: Path) -> None:
    file = parquet(tmp_path, **COLUMNS)
    assert load_items(file, input=["sentence"]).fingerprint() == load_items(file, input="sentence").fingerprint()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["question", "sentense"], r"input='sentense': .* has the columns question, sentence, idx, label"),
        (["question", "sentence", "label"], r"input=\['question', 'sentence', 'label'\]: expected one column, or two"),
        (["question", "question"], r"expected one column, or two different ones"),
        ([], r"input=\[\]: expected one column"),
        (["question", "idx"], r"column 'idx' holds int64; pairs are of texts"),
    ],
)
def test_columns_that_make_no_pairs(tmp_path: Path, wanted: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path, **COLUMNS), input=wanted)


def test_texts_may_be_empty_but_cells_may_not(tmp_path: Path) -> None:
    file = parquet(tmp_path, question=["a", "b"], sentence=["c", None], label=[0, 1])
    with pytest.raises(ValueError, match="column 'sentence' has empty cells, the first in row 1 of 2; leave such rows out"):
        load_items(file, input=["question", "sentence"])
    assert load_items(file, input="question").fetch(torch.arange(2)) == ["a", "b"]


text = st.text(max_size=6)


@settings(deadline=None)
@given(st.lists(st.one_of(st.tuples(text), st.tuples(text, text)), min_size=2, max_size=2, unique=True))
def test_different_texts_and_pairs_have_different_keys(pair: list[tuple[str, ...]]) -> None:
    assert text_key(*pair[0]) != text_key(*pair[1])


def test_keys_of_pairs_are_those_of_their_texts_in_order() -> None:
    keys = Items.from_tensors([("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", "b")]).keys.tolist()
    assert keys[0] == keys[4] == text_key("a", "b")
    assert len(set(keys)) == 4
    assert Items.from_tensors(["ab"]).keys.tolist() == [text_key("ab")]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a", ("b", "c")], r"row 1 is \('b', 'c'\); expected a text, as in row 0"),
        ([("b", "c"), "a"], r"row 1 is 'a'; expected a pair of texts"),
        ([("b", "c", "d")], r"row 0 is .*; expected a pair of texts"),
        (["a", None], r"row 1 is None; expected a text"),
    ],
)
def test_lists_that_are_neither_texts_nor_pairs(inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Items.from_tensors(inputs)
