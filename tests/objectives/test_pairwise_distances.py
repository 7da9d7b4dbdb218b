"""Distances of all pairs of rows: as exact as from differences, also for rows that are nearly or exactly the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.objectives.functional import pairwise_distances as module
from limbeck.objectives.functional.pairwise_distances import pairwise_distances


def exact(x: Tensor) -> Tensor:
    return (x.double()[:, None] - x.double()).norm(dim=-1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 1.0]), st.sampled_from([0.0, 1.0, 1e3]))
def test_distances_are_exact_however_near_the_rows(seed: int, spread: float, offset: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(1, 20, generator=generator)
    x = (offset + base + spread * torch.randn(7, 20, generator=generator)).float()
    torch.testing.assert_close(pairwise_distances(x).double(), exact(x), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("spread", [1.0, 1e-2, 0.0])
def test_gradients_are_those_of_the_differences(spread: float) -> None:
    x = torch.randn(1, 6) + spread * torch.randn(5, 6)
    weights = torch.randn(5, 5)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    (weights * pairwise_distances(found)).sum().backward()
    (weights * torch.cdist(expected, expected, compute_mode="donot_use_mm_for_euclid_dist")).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_distant_rows_need_one_product_and_equal_ones_the_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cdist(x: Tensor, *_: Tensor, **__: str) -> Tensor:
        asked.append(len(x))
        return exact(x).to(x.dtype)

    monkeypatch.setattr(module.torch, "cdist", cdist)
    pairwise_distances(torch.randn(16, 8))
    assert not asked
    pairwise_distances(torch.ones(3, 8))
    assert asked == [3]
    assert pairwise_distances(torch.full((4, 2), float("nan"))).isnan().any()
