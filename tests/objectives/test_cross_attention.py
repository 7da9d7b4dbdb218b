"""Partial cross attention: which elements are the teacher's, and who gets gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from limbeck.objectives import PartialCrossAttention


def matrices(seed: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(seed + 10 * k)) for k in range(3))


def test_elements_are_replaced_at_the_given_rate_and_get_no_gradient():
    objective = PartialCrossAttention(swap=0.3)
    student = torch.zeros(50, 4, 20, 5, requires_grad=True)
    mixed = objective._mixed(student, torch.ones_like(student))
    mixed.sum().backward()
    assert mixed.mean().item() == pytest.approx(0.3, abs=0.02)
    assert student.grad is not None
    assert torch.equal(student.grad, 1 - mixed.detach())


def test_draws_differ_by_step_and_resume_from_a_checkpoint():
    objective, s, t = PartialCrossAttention(), matrices(0), matrices(1)
    objective(s, t)
    saved = copy.deepcopy(objective.state_dict())
    ahead = [objective(s, t) for _ in range(2)]
    assert not torch.equal(*ahead)
    torch.manual_seed(5)
    resumed = PartialCrossAttention()
    resumed.load_state_dict(saved)
    assert all(torch.equal(resumed(s, t), loss) for loss in ahead)


def test_relations_of_values_are_the_students_own():
    """With queries, keys and values of the teacher, but for the values' relations, nothing else is left."""
    objective, s, t = PartialCrossAttention(swap=0.5), matrices(0), matrices(1)
    objective._mixed = lambda student, teacher: teacher  # type: ignore[method-assign]
    ours, theirs = (v @ v.mT / 2 for v in (s[2], t[2]))
    torch.testing.assert_close(objective(s, t), (ours - theirs).square().mean((1, 2, 3)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="swap is 1"):
        PartialCrossAttention(swap=1)
    with pytest.raises(ValueError, match="1 taps; it needs 3"):
        PartialCrossAttention()(matrices(0)[0], matrices(1)[0])
