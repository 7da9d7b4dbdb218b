"""Storage of tensors, texts and encoded images."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.data import Items


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
