"""Divergences of language models: their limits, sparse teachers, distributions that nearly agree, two vocabularies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck import objectives
from limbeck.core.signals import TopK
from tests.objectives.test_tokens import MASK, logits, top_k

MIXTURES = ("jensen_shannon", "skew_kl", "skew_reverse_kl")
sparse = pytest.mark.parametrize("name", [*MIXTURES, "total_variation"])


def loss(name: str, student: Tensor, teacher: Any, **hyperparameters: Any) -> Tensor:
    return objectives.get(name, **hyperparameters)(student, teacher)


def slope(name: str, student: Tensor, teacher: Any, **hyperparameters: Any) -> Tensor:
    leaf = student.clone().requires_grad_()
    return torch.autograd.grad(loss(name, leaf, teacher, **hyperparameters).sum(), leaf)[0]


@pytest.mark.parametrize(
    ("name", "hyperparameters", "limit"),
    [
        ("skew_kl", {"alpha": 0}, "forward_kl"),
        ("skew_reverse_kl", {"alpha": 0}, "reverse_kl"),
        ("jensen_shannon", {"beta": 1e-7, "normalized": True}, "forward_kl"),
        ("jensen_shannon", {"beta": 1 - 1e-7, "normalized": True}, "reverse_kl"),
    ],
)
def test_the_limits_are_forward_and_reverse_kl(name: str, hyperparameters: dict[str, Any], limit: str) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    torch.testing.assert_close(loss(name, s, t, **hyperparameters), loss(limit, s, t), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(slope(name, s, t, **hyperparameters), slope(limit, s, t), rtol=1e-5, atol=1e-7)


def test_two_tokens_by_hand() -> None:
    s, t = torch.tensor([[0.2, 0.8]]).log(), torch.tensor([[0.6, 0.4]]).log()
    assert loss("total_variation", s, t).item() == pytest.approx(0.4)
    # sorted: 0.6, 0.4 against 0.8, 0.2
    assert loss("universal_logit", s, t).item() == pytest.approx(0.4)
    # M = (0.4, 0.6)
    assert loss("jensen_shannon", s, t).item() == pytest.approx(0.086304621)
    assert loss("jensen_shannon", s, t, normalized=True).item() == pytest.approx(4 * 0.086304621)


@sparse
def test_top_k_of_all_classes_equals_the_dense_teacher(name: str) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    every = top_k(t, 5)
    torch.testing.assert_close(loss(name, s, every), loss(name, s, t))
    torch.testing.assert_close(slope(name, s, every), slope(name, s, t))


@sparse
def test_top_k_has_its_tail_as_one_more_outcome(name: str) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    known = top_k(t, 2)
    q = s.softmax(-1).gather(-1, known.indices)
    p = torch.cat([known.values, known.tail[..., None]], -1)
    q = torch.cat([q, 1 - q.sum(-1, keepdim=True)], -1)
    torch.testing.assert_close(loss(name, s, known), loss(name, q.log(), p.log()))


@sparse
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tail_of_zero_is_finite(name: str, dtype: torch.dtype) -> None:
    s = 30 * logits(2, 5).to(dtype)
    known = TopK(
        torch.tensor([[1.0, 0.0], [0.75, 0.25]], dtype=dtype), torch.tensor([[0, 1], [3, 4]]), torch.zeros(2, dtype=dtype)
    )
    assert loss(name, s, known).isfinite().all()
    assert slope(name, s, known).isfinite().all()


@pytest.mark.parametrize("name", MIXTURES)
def test_distributions_without_a_common_token_are_a_finite_distance_apart(name: str) -> None:
    s, t = torch.tensor([[200.0, 0, 0]]), torch.tensor([[0, 200.0, 0]])
    assert loss(name, s, t).item() < 3
    assert loss("forward_kl", s, t).item() > 100
    assert slope(name, s, t).isfinite().all()


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("distance", [1e-1, 1e-2])
def test_nearly_equal_distributions_keep_their_digits_in_float32(name: str, distance: float) -> None:
    s = logits(64, 1000)
    t = s + distance * logits(64, 1000, seed=1)
    exact = loss(name, s.float().double(), t.float().double()).mean()
    assert loss(name, s.float(), t.float()).mean().item() == pytest.approx(exact.item(), rel=1e-4)


@pytest.mark.parametrize("name", [*MIXTURES, "total_variation", "universal_logit"])
def test_padding_has_a_loss_and_a_gradient_of_zero(name: str) -> None:
    s, t = logits(2, 4, 5).requires_grad_(), logits(2, 4, 5, seed=1)
    losses = objectives.get(name)(s, t, mask=MASK)
    (gradient,) = torch.autograd.grad(losses.sum(), s)
    assert not losses[~MASK.bool()].any()
    assert not gradient[~MASK.bool()].any()
    assert (losses[MASK.bool()] > 0).all()


def test_vocabularies_of_two_tokenizers_are_compared_by_rank() -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 9, seed=1)
    losses = objectives.get("universal_logit")(s, t, mask=MASK)
    p, q = t[0, 1].softmax(-1).sort(descending=True).values, s[0, 1].softmax(-1).sort(descending=True).values
    assert losses[0, 1].item() == pytest.approx(float((p[:5] - q).abs().sum() + p[5:].sum()))
    renamed = s[..., torch.randperm(5)]
    torch.testing.assert_close(objectives.get("universal_logit")(renamed, t, mask=MASK), losses)
    with pytest.raises(ValueError, match=r"universal_logit: .*\(2, 4, 5\).*\(2, 3, 9\).* equal batches and numbers of tokens"):
        loss("universal_logit", s, t[:, :3])
    with pytest.raises(ValueError, match="universal_logit: needs the teacher's dense signal"):
        loss("universal_logit", s, top_k(t, 2))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("jensen_shannon", {"beta": 0}),
        ("jensen_shannon", {"beta": 1}),
        ("skew_kl", {"alpha": 1}),
        ("skew_reverse_kl", {"alpha": -0.1}),
    ],
)
def test_shares_without_a_mixture_are_refused(name: str, wrong: dict[str, float]) -> None:
    ((field, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}: {field} is {value}; use a value "):
        objectives.get(name, **wrong)
    with pytest.raises(ValueError, match=f"{field} is nan; expected a finite number"):
        objectives.get(name, **{field: float("nan")})


def test_a_top_k_teacher_needs_temperature_1() -> None:
    s, known = logits(2, 4, 5), top_k(logits(2, 4, 5, seed=1), 2)
    objective = objectives.get("jensen_shannon", temperature=2.0)
    assert not objective.reads_top_k()
    assert objective.reads_top_k(1.0)
    with pytest.raises(ValueError, match=r"jensen_shannon: temperature is 2.0; a TopK teacher .* use 1, or store dense logits"):
        objective(s, known)
