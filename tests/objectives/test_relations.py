"""Relations between duplicates and near-duplicates."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives import RKDAngle, RKDDistance


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direct_angles(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    def cosines(x):
        e = F.normalize(x[None] - x[:, None], dim=2)
        return e @ e.mT

    return F.huber_loss(cosines(student), cosines(teacher), reduction="none").mean((1, 2))


@pytest.mark.parametrize("objective", [RKDAngle(), RKDDistance()], ids=lambda o: o.name)
def test_duplicates_count_as_zero_vectors_with_a_finite_gradient(objective):
    s, t = normal(6, 4) + 10, normal(6, 4, seed=1)
    s[3] = s[0]
    t[4] = t[1]
    leaf = s.clone().requires_grad_()
    loss = objective(leaf, t)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert gradient.isfinite().all()
    if objective.name == "rkd_angle":
        torch.testing.assert_close(loss, direct_angles(s, t))


@pytest.mark.parametrize("objective", [RKDAngle(), RKDDistance()], ids=lambda o: o.name)
def test_equal_sides_give_exactly_nothing(objective):
    x = normal(9, 5).float().requires_grad_()
    loss = objective(x, x.detach())
    assert not loss.any()
    assert not torch.autograd.grad(loss.sum(), x)[0].any()


def test_distances_of_near_duplicates():
    s = normal(8, 256).float() + 3
    s[1] = s[0] + 1e-4 * normal(256, seed=1).float()
    t = normal(8, 256, seed=2).float()
    torch.testing.assert_close(RKDDistance()(s, t).double(), RKDDistance()(s.double(), t.double()), rtol=1e-5, atol=0)
