"""Ranks of items for queries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.tasks.retrieval import ranks
from limbeck.tasks.retrieval.ranks import ranks_of_items


def by_hand(queries: Tensor, items: Tensor, keys: Tensor) -> list[int]:
    found = []
    for query, key in zip(queries, keys, strict=True):
        cosines = torch.nn.functional.cosine_similarity(query[None], items)
        best = max(float(c) for c, other in zip(cosines, keys, strict=True) if other == key)
        found.append(sum(float(c) >= best for c, other in zip(cosines, keys, strict=True) if other != key))
    return found


@pytest.mark.parametrize("elements", [1 << 24, 30])
def test_wrong_items_before_the_right_one_are_counted(monkeypatch: pytest.MonkeyPatch, elements: int) -> None:
    monkeypatch.setattr(ranks, "ELEMENTS", elements)  # a few queries at once
    generator = torch.Generator().manual_seed(3)
    queries, items = torch.randn(2, 12, 3, generator=generator)
    keys = torch.arange(12)
    assert ranks_of_items(queries, items, keys).tolist() == by_hand(queries, items, keys)
    twins = keys // 2
    twin_queries = queries[::2].repeat_interleave(2, 0)
    assert ranks_of_items(twin_queries, items, twins).tolist() == by_hand(twin_queries, items, twins)


def test_of_two_pictures_with_one_caption_either_is_right() -> None:
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[0.0, 1.0], [1.0, 0.1], [0.5, 0.5]])
    assert ranks_of_items(queries, items, torch.tensor([4, 4, 7])).tolist() == [0, 0, 1]
    assert ranks_of_items(queries, items, torch.tensor([4, 5, 7])).tolist() == [2, 0, 1]


def test_one_embedding_for_everything_finds_nothing() -> None:
    queries = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    assert ranks_of_items(queries, torch.ones(5, 4), torch.arange(5)).tolist() == [4] * 5
