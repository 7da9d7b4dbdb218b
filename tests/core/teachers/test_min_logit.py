"""The smallest logits relative to the label's."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.batch import Batch
from limbeck.core.teachers import MinLogit, teacher

FIRST = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 5.0]])
SECOND = torch.tensor([[1.0, -2.0, 0.5], [3.0, 1.0, 1.0]])


def answer(target: torch.Tensor | None) -> torch.Tensor:
    return MinLogit("peers.*").make_target([FIRST, SECOND], Batch({"default": torch.zeros(2, 1)}, target=target), FIRST)


def test_each_class_is_as_unlikely_as_the_teacher_says_that_finds_it_least_likely() -> None:
    expected = torch.tensor([[0.0, -3.0, -2.0], [-5.0, -4.0, 0.0]])  # row 0: min(−1, −3), min(−2, −0.5) for label 0
    assert torch.equal(answer(torch.tensor([0, 2])), expected)
    assert torch.equal(answer(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])), expected)


def test_an_item_without_a_label_gets_the_mean() -> None:
    given = answer(torch.tensor([-100, 2]))
    assert torch.equal(given[0], (FIRST + SECOND)[0] / 2)
    assert torch.equal(given[1], torch.tensor([-5.0, -4.0, 0.0]))


def test_it_needs_labels_and_outputs_of_one_shape() -> None:
    with pytest.raises(ValueError, match="MinLogit: needs labels"):
        answer(None)
    batch = Batch({"default": torch.zeros(2, 1)}, target=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"MinLogit: its members output 3, 2 classes, in this order"):
        MinLogit("peers.*").make_target([FIRST, SECOND[:, :2]], batch, FIRST)


def test_a_recipe_names_it() -> None:
    built = teacher({"min_logit": {"of": "peers.*", "own": True}})
    assert isinstance(built, MinLogit)
    assert (built.references, built.own) == (("peers.*",), True)
