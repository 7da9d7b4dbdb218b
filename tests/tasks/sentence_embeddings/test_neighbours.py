"""Nearest neighbours, their overlap and their votes, against loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.tasks.sentence_embeddings.neighbours import nearest_neighbours, neighbour_overlap, neighbour_votes

from .clusters import drawn

few = settings(deadline=None, max_examples=25)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def neighbours_by_loop(vectors: Tensor, k: int) -> list[list[int]]:
    rows = vectors.double().tolist()
    found = []
    for place, row in enumerate(rows):
        others = [other for other in range(len(rows)) if other != place]
        found.append(sorted(others, key=lambda other: -cosine(row, rows[other]))[:k])
    return found


@given(seed=st.integers(0, 1000), count=st.integers(2, 30), k=st.integers(1, 12))
@few
def test_neighbours_are_those_of_a_loop(seed: int, count: int, k: int) -> None:
    vectors, _ = drawn(seed, count)
    assert nearest_neighbours(vectors, k).tolist() == neighbours_by_loop(vectors, k)


def test_neighbours_are_found_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = drawn(0, 40)
    whole = nearest_neighbours(vectors)
    monkeypatch.setattr("limbeck.tasks.sentence_embeddings.neighbours.ELEMENTS", 120)
    assert torch.equal(nearest_neighbours(vectors), whole)
    assert nearest_neighbours(torch.zeros(4, 3)).shape == (4, 3)  # no direction at all, and no complaint


@given(seed=st.integers(0, 1000), count=st.integers(3, 25))
@few
def test_overlap_is_that_of_sets(seed: int, count: int) -> None:
    (ours, _), (theirs, _) = drawn(seed, count), drawn(seed + 1, count, width=4)
    a, b = nearest_neighbours(ours), nearest_neighbours(theirs)
    slow = [len(set(x) & set(y)) / len(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert neighbour_overlap(a, b).tolist() == pytest.approx(slow)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)))
    assert neighbour_overlap(nearest_neighbours(3 * ours @ rotation), a).mean() > 0.99  # directions alone count, up to rounding
    assert (neighbour_overlap(a, a) == 1).all()


@given(seed=st.integers(0, 1000), count=st.integers(3, 25), classes=st.integers(2, 4))
@few
def test_the_majority_wins_and_ties_go_to_the_nearer(seed: int, count: int, classes: int) -> None:
    vectors, labels = drawn(seed, count, classes=classes)
    counts = neighbour_votes(nearest_neighbours(vectors), labels, classes)
    for row, near in enumerate(neighbours_by_loop(vectors, 10)):
        voted = [labels[other].item() for other in near]
        most = max(voted.count(one) for one in voted)
        tied = {one for one in voted if voted.count(one) == most}
        assert counts[row].floor().tolist() == [voted.count(one) for one in range(classes)]
        assert int(counts[row].argmax()) in tied
    nearer_first = neighbour_votes(torch.tensor([[1, 2, 3, 4]]), torch.tensor([0, 1, 1, 0, 0]), 2)
    assert int(nearer_first.argmax()) == 1
