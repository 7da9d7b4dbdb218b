"""Divergences of distributions against the plain formula in double precision."""

from __future__ import annotations

import pytest
import torch

from limbeck import objectives
from limbeck.objectives.functional.chunking import CHUNK
from limbeck.objectives.functional.divergence import kl_divergence


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1)


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (2, 3, 7), (5,), (0, 4)])
def test_kl_and_both_gradients_are_those_of_the_plain_formula(shape: tuple[int, ...]):
    found, expected = ([normal(*shape, seed=seed).requires_grad_() for seed in (0, 1)] for _ in range(2))
    ours, theirs = kl_divergence(*(side.log_softmax(-1) for side in found)), plain(*expected)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(found, expected, strict=True):
        (mine,), (other_gradient,) = (
            torch.autograd.grad(loss.square().sum(), side, retain_graph=True) for loss, side in ((ours, one), (theirs, other))
        )
        torch.testing.assert_close(mine, other_gradient)


def test_the_gradients_can_be_differentiated_in_turn():
    sides = [normal(2, 4, seed=seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradgradcheck(lambda p, q: kl_divergence(p.log_softmax(-1), q.log_softmax(-1)), sides)


def test_many_rows_are_computed_in_pieces(monkeypatch):
    p, q = normal(2, 5, 3).log_softmax(-1), normal(2, 5, 3, seed=1).log_softmax(-1).requires_grad_()
    whole = kl_divergence(p, q)
    gradient = torch.autograd.grad(whole.square().sum(), q)
    monkeypatch.setitem(CHUNK, "cpu", 12)
    pieces = kl_divergence(p, q)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=0)
    torch.testing.assert_close(torch.autograd.grad(pieces.square().sum(), q), gradient)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_logits_of_any_size_have_a_finite_divergence_and_gradient(size: float):
    q = (size * normal(4, 6).float()).requires_grad_()
    loss = kl_divergence((size * normal(4, 6, seed=1).float()).log_softmax(-1), q.log_softmax(-1))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert q.grad.isfinite().all()


@pytest.mark.parametrize("name", ["soft_targets", "binary_soft_targets"])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_single_precision_loses_no_digits_at_high_temperatures(name: str, temperature: float):
    student, teacher = normal(64, 100), normal(64, 100, seed=1)
    objective = objectives.get(name, temperature=temperature)
    student, teacher = student.float(), teacher.float()
    precise = objective(student.double(), teacher.double())
    torch.testing.assert_close(objective(student, teacher).double(), precise, rtol=5e-6, atol=0)


@pytest.mark.parametrize("name", ["soft_targets", "binary_soft_targets", "forward_kl", "disagreement"])
def test_a_teacher_that_nearly_agrees_has_a_small_divergence_that_is_not_negative(name: str):
    options = {"distance": "kl"} if name == "disagreement" else {}
    student = normal(32, 50).float()
    teacher = student + 1e-3 * normal(32, 50, seed=1).float()
    objective = objectives.get(name, **options)
    loss = objective(student, teacher)
    assert (loss > 0).all()
    torch.testing.assert_close(loss.double(), objective(student.double(), teacher.double()), rtol=1e-2, atol=0)
