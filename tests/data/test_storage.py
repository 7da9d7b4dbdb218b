"""Storage of tensors, texts and encoded images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.data import Items
from limbeck.data.storage import EncodedStorage, TensorStorage, as_storage, display_text, parts_of


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a", ("b", "c")], r"row 1 is \('b', 'c'\); expected a text, as in row 0"),
        ([("b", "c"), "a"], r"row 1 is 'a'; expected a pair of texts"),
        ([("b", "c", "d")], r"row 0 is .*; expected a pair of texts"),
        (["a", None], r"row 1 is None; expected a text"),
    ],
)
def test_lists_of_neither_texts_nor_pairs_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Items.from_tensors(inputs)


@pytest.mark.parametrize(
    "inputs",
    [torch.arange(12).view(4, 3), {"a": torch.arange(4), "b": torch.rand(4, 2)}, ["a", "", "b", "c"], [("a", "b")] * 4],
    ids=["tensor", "mapping", "texts", "pairs"],
)
def test_selected_rows_are_fetched_rows(inputs: Any) -> None:
    storage, rows = as_storage(inputs), torch.tensor([3, 0, 3])
    chosen = storage.select(rows)
    assert (len(storage), len(chosen)) == (4, 3)
    ours, theirs = chosen.fetch(torch.arange(3)), storage.fetch(rows)
    if isinstance(theirs, list):
        assert ours == theirs
    else:
        ours, theirs = (TensorStorage(each).by_name() for each in (ours, theirs))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert storage.input_names == ()
    assert storage.aligned
    assert storage.select_input("student") is storage


def test_tensors_of_a_mapping_have_as_many_rows() -> None:
    with pytest.raises(ValueError, match=r"as many rows as there are items, found \{'a': 3, 'b': 2\}"):
        as_storage({"a": torch.zeros(3), "b": torch.zeros(2)})


def test_encoded_items_are_decoded_when_they_are_fetched() -> None:
    decoded = []

    def decode(source: int) -> np.ndarray:
        decoded.append(source)
        return np.full((1, 2, 2), source, dtype=np.uint8)

    storage = EncodedStorage([10, 20, 30], decode)
    assert decoded == []
    images = storage.fetch(torch.tensor([2, 0]))
    assert images.dtype == torch.uint8
    assert images[:, 0, 0, 0].tolist() == [30, 10]
    assert sorted(decoded) == [10, 30]
    assert storage.select(torch.tensor([1])).fetch(torch.tensor([0]))[0, 0, 0, 0] == 20
    assert not storage.in_memory


def test_many_rows_are_a_view_and_few_are_copied() -> None:
    whole = torch.arange(800.0).view(100, 8)
    storage = TensorStorage(whole)
    many = storage.select(torch.arange(99, 19, -1))
    again = many.select(torch.arange(0, 80, 2))
    few = again.select(torch.tensor([3, 1]))
    assert torch.equal(many.inputs, whole[19 + 1 :].flip(0))
    assert torch.equal(again.fetch(torch.tensor([1])), whole[97:98])
    assert torch.equal(few.inputs, whole[[93, 97]])
    whole[97] = -1.0
    assert (many.fetch(torch.tensor([2])) == -1).all(), "a view"
    assert not (few.fetch(torch.tensor([1])) == -1).any(), "a copy, so that the rest can be given up"


def test_pairs_are_displayed_on_two_lines() -> None:
    assert display_text("one") == "one"
    assert display_text(("one", "two")) == "one\ntwo"
    assert parts_of("one") == ("one",)
    assert parts_of(("one", "two")) == ("one", "two")
