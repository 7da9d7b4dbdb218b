"""The next token as a target."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, NextTokens, tokenize
from limbeck.data.text.next_tokens import next_token_targets
from tests.data.tiny_tokenizers import of_words


def test_the_target_of_a_position_is_the_next_label() -> None:
    labels = torch.tensor([[7, 8, 9], [7, -100, 9]])
    assert next_token_targets(labels).tolist() == [[8, 9, -100], [-100, 9, -100]]


def test_texts_stay_as_they_are_and_padding_is_not_predicted() -> None:
    items = tokenize(Items.from_tensors(["a b", "a"]), of_words(["a", "b"]), 8)
    batch = Dataset(items, batch_size=2, views={"default": NextTokens()}).batch(BatchPosition(0))
    order = batch.index.argsort()  # type: ignore[union-attr]
    assert batch.inputs["default"]["input_ids"][order].tolist() == [[2, 5, 6, 3], [2, 5, 3, 0]]
    assert batch.target[order].tolist() == [[5, 6, 3, -100], [5, 3, -100, -100]]  # type: ignore[index]


def test_tokens_by_actor_have_one_target() -> None:
    tokens = {"input_ids": torch.tensor([[4, 5]]), "attention_mask": torch.ones(1, 2)}
    _, target = NextTokens()({"student": tokens, "teacher": tokens}, torch.tensor([0]))
    assert target is not None
    assert target.tolist() == [[5, -100]]


@pytest.mark.parametrize("inputs", [torch.zeros(2, 3), {}, {"image": torch.zeros(2, 3)}])
def test_items_without_tokens_are_refused(inputs: object) -> None:
    with pytest.raises(ValueError, match=r"these items have none; .*tokenize"):
        NextTokens()(inputs, torch.arange(2))
