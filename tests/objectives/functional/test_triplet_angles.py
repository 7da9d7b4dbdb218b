"""Angles of triplets, against the differences: precision and memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from limbeck.objectives import RKDAngle
from limbeck.objectives.functional import triplet_angles


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direct_angles(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    def cosines(x):
        e = F.normalize(x[None] - x[:, None], dim=2)
        return e @ e.mT

    return F.huber_loss(cosines(student), cosines(teacher), reduction="none").mean((1, 2))


@pytest.mark.parametrize("items", [1, 2, 3, 33])
@pytest.mark.parametrize("chunk", [1, 2**15])
def test_angles_equal_the_direct_form(items, chunk, monkeypatch):
    monkeypatch.setitem(triplet_angles.CHUNK, "cpu", chunk)
    s, t = (normal(items, 7) + 3).requires_grad_(), normal(items, 5, seed=1)
    loss, direct = RKDAngle()(s, t), direct_angles(s, t)
    torch.testing.assert_close(loss, direct)
    weights = torch.linspace(1, 2, items, dtype=s.dtype)
    ours, theirs = (torch.autograd.grad((x * weights).sum(), s)[0] for x in (loss, direct))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("gap", [1e-1, 1e-2, 1e-3])
def test_angles_of_near_duplicates_far_from_the_origin(gap):
    """What float32 products would lose. The inputs are float32 values; float64 arithmetic on them is the truth."""
    base = normal(16, 64).float() + 5
    s = torch.cat([base, base + gap * normal(16, 64, seed=1).float()])
    t = normal(32, 48, seed=2).float()
    leaf, precise = s.clone().requires_grad_(), s.double().requires_grad_()
    loss, truth = RKDAngle()(leaf, t), direct_angles(precise, t.double())
    torch.testing.assert_close(loss.double(), truth, rtol=1e-5, atol=0)
    ours, theirs = torch.autograd.grad(loss.sum(), leaf)[0], torch.autograd.grad(truth.sum(), precise)[0]
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_angles_in_float32_are_as_good_as_in_float64():
    s, t = normal(64, 512).float(), normal(64, 512, seed=1).float()
    ours, precise = RKDAngle()(s, t).mean().double(), RKDAngle()(s.double(), t.double()).mean()
    assert abs(ours / precise - 1) < 1e-5


def test_angles_need_far_less_memory_than_the_differences():
    items, length = 64, 512
    s, t = normal(items, length).float().requires_grad_(), normal(items, length, seed=1).float()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        RKDAngle()(s, t).mean().backward()
    largest = max(event.self_cpu_memory_usage for event in recorded.events())
    assert largest < items * items * length * 4 / 4
