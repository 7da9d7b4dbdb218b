"""Elementary functions where the textbook forms fail: zero vectors, constant rows, near equality."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives.functional.elementary import (
    SHORT,
    cosine_distance,
    huber,
    l2_normalize,
    last_mean,
    log_ratio,
    pearson,
    softened_log_probs,
    standardize,
)


@pytest.mark.parametrize("shape", [(5, 1), (5, SHORT), (5, SHORT + 1), (2, 3, 7)])
def test_the_mean_of_short_and_long_rows_is_that_of_torch(shape: tuple[int, ...]):
    values, same = (normal(*shape).requires_grad_() for _ in range(2))
    torch.testing.assert_close(last_mean(values), same.mean(-1))
    last_mean(values).square().sum().backward()
    same.mean(-1).square().sum().backward()
    torch.testing.assert_close(values.grad, same.grad)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_softened_probabilities_are_those_of_divided_logits():
    torch.testing.assert_close(softened_log_probs(normal(3, 5), 4.0).exp(), (normal(3, 5) / 4).softmax(-1))


@pytest.mark.parametrize("function", [l2_normalize, standardize])
def test_zeros_remain_zeros_with_a_finite_gradient(function):
    x = torch.zeros(2, 4, requires_grad=True)
    out = function(x)
    out.sum().backward()
    assert not out.any()
    assert x.grad.isfinite().all()


def test_a_constant_correlates_with_nothing_and_tiny_values_do():
    x, y = normal(4, 6), normal(4, 6, seed=1)
    expected = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(x, y, strict=True)])
    torch.testing.assert_close(pearson(x, y), expected)
    torch.testing.assert_close(pearson(1e-25 * x.float(), y.float()).double(), expected, rtol=1e-5, atol=1e-5)
    assert not pearson(torch.full((2, 3), 0.1), normal(2, 3).float()).any()


def test_huber_agrees_with_torch():
    x = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(huber(x), F.huber_loss(x, torch.zeros_like(x), reduction="none"))


def test_differences_near_equality_keep_their_digits():
    x = normal(5, 64).float()
    y = x + 1e-3 * normal(5, 64, seed=1).float()
    precise = 1 - F.cosine_similarity(x.double(), y.double(), dim=-1)
    torch.testing.assert_close(cosine_distance(x, y).double(), precise, rtol=1e-3, atol=0)
    p, q = x.softmax(-1), y.softmax(-1)
    torch.testing.assert_close(log_ratio(p, q).double(), p.double().log() - q.double().log(), rtol=1e-6, atol=1e-12)


def test_the_cosine_with_a_zero_vector_counts_as_zero():
    assert cosine_distance(torch.zeros(1, 3), torch.ones(1, 3)).item() == pytest.approx(1)
    assert cosine_distance(torch.zeros(1, 3), torch.zeros(1, 3)).item() == pytest.approx(1)
