"""Items as text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.data import Items, tokenize
from limbeck.tasks.text_predictions import text_of
from tests.data.tiny_tokenizers import of_words

WORDS = ["where", "is", "the", "cow", "dog", "owl", "barn", "field", ".", "in", "and", "now", "late", "it"]


def test_items_as_texts() -> None:
    spelt = ["The Cow <b>", "never seen"]
    items = tokenize(Items.from_tensors(spelt), of_words(WORDS), 8)
    assert [text_of(items.select(torch.tensor([1, 0])), row) for row in range(2)] == spelt[::-1]
    pair = tokenize(Items.from_tensors([("The cow", "late?")]), of_words(WORDS), 8)
    assert text_of(pair, 0) == "The cow\nlate?"
    assert text_of(Items.from_tensors([("a", "b")]), 0) == "a\nb"
    assert text_of(Items.from_tensors(torch.rand(1, 2)), 0) is None


def test_texts_beyond_what_memory_should_hold_are_spelt_by_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.data.text.tokenization.MAX_TEXT_CHARACTERS", 5)
    items = tokenize(Items.from_tensors(["the   cow"]), of_words(WORDS), 8)
    assert text_of(items, 0) == "the cow"
    assert np.array_equal(items.storage.fetch(torch.tensor([0]))["attention_mask"], [[1, 1, 1, 1]])
