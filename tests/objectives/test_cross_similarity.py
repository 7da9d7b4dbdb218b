"""Similarities between the student's and the teacher's embeddings of a batch, by hand on two items."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck import objectives
from limbeck.objectives import CrossSimilarity, InfoNCE

T = torch.eye(2)  # two captions at a right angle
S = torch.tensor([[3.0, 0.0], [1.0, 1.0]])  # the first image lies on its caption, the second half-way


def test_cosines_with_the_teachers_items_are_compared() -> None:
    half = math.sqrt(0.5)
    torch.testing.assert_close(CrossSimilarity()(S, T), torch.tensor([0.0, (half**2 + (half - 1) ** 2) / 2]))


def test_the_cross_entropy_goes_both_ways() -> None:
    half, tau = math.sqrt(0.5), 0.5
    rows = [math.log1p(math.exp(-1 / tau)), math.log(2)]
    columns = [math.log1p(math.exp((half - 1) / tau)), math.log1p(math.exp(-half / tau))]
    expected = [(row + column) / 2 for row, column in zip(rows, columns, strict=True)]
    torch.testing.assert_close(InfoNCE(temperature=tau)(S, T), torch.tensor(expected))


def test_pictures_of_one_caption_are_no_negatives() -> None:
    s = torch.tensor([[1.0, 0.2], [0.9, 0.1], [0.0, 1.0]])
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = InfoNCE()(s, twins)
    alone = InfoNCE()(s[[0, 2]], twins[[0, 2]])
    torch.testing.assert_close(found[0], alone[0])
    other = InfoNCE()(s, twins + torch.tensor([[0.0, 0.0], [0.0, 0.3], [0.0, 0.0]]))
    assert other[0] > found[0] + 0.1  # captions that differ are


@pytest.mark.parametrize(("name", "value"), [("info_nce", 0), ("info_nce", -1), ("cross_similarity", 0.0)])
def test_a_temperature_is_above_zero(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: temperature is {value!r}; use a value above 0"):
        objectives.get(name, temperature=value)


def test_widths_that_differ_are_refused_without_an_adapter() -> None:
    with pytest.raises(ValueError, match=r"info_nce: student \(2, 3\) and teacher \(2, 2\) do not fit.*an adapter"):
        InfoNCE()(torch.ones(2, 3), T)
