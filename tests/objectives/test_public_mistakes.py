"""Mistakes found in published toolkits; each must stay impossible here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck import objectives
from limbeck.core.signals import TopK
from limbeck.objectives import Dist, HardTargets, Hint, SimilarityPreserving, SoftTargets


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "hyperparameters", "shape"),
    [
        ("soft_targets", {}, (64, 8)),
        ("decoupled", {}, (64, 8)),
        ("decoupled", {"alpha": 0}, (64, 8)),  # toolkits lose T² on the path where a weight is zero
        ("decoupled", {"beta": 0}, (64, 8)),
        ("weighted_soft_labels", {}, (64, 8)),
        ("channelwise", {}, (16, 4, 3, 3)),
    ],
)
def test_the_gradient_does_not_shrink_with_the_temperature(name, hyperparameters, shape):
    s, t, y = (0.1 * normal(*shape)).requires_grad_(), 0.1 * normal(*shape, seed=1), torch.arange(shape[0]) % shape[-1]

    def size(temperature):
        loss = objectives.get(name, temperature=temperature, **hyperparameters)(s, t, target=y)
        return torch.autograd.grad(loss.sum(), s)[0].norm()

    assert size(64.0) / size(8.0) == pytest.approx(1, rel=0.1)  # without T² it would be 1/64 of itself


def test_temperature_squared_also_scales_dist():
    s, t = normal(4, 5), normal(4, 5, seed=1)
    torch.testing.assert_close(Dist(temperature=3)(s, t), 9 * Dist(temperature=1)(s / 3, t / 3))


@pytest.mark.parametrize("name", ["soft_targets", "decoupled"])
def test_divergences_are_sums_over_classes(name):
    """Classes that nobody believes in must not dilute the loss."""
    s, t, y = normal(3, 4), normal(3, 4, seed=1), torch.tensor([0, 1, 2])
    objective = objectives.get(name, temperature=1.0)
    many = [torch.cat([z, torch.full((3, 96), -200.0, dtype=z.dtype)], dim=1) for z in (s, t)]
    torch.testing.assert_close(objective(*many, target=y), objective(s, t, target=y))


def test_channelwise_is_a_sum_over_positions():
    s, t = normal(2, 3, 1, 4), normal(2, 3, 1, 4, seed=1)
    wide = [torch.cat([z, torch.full((2, 3, 1, 60), -900.0, dtype=z.dtype)], dim=3) for z in (s, t)]
    objective = objectives.get("channelwise")
    torch.testing.assert_close(objective(*wide), objective(s, t))


def test_similarity_preserving_rows_have_euclidean_length_one():
    s, t = normal(4, 3), normal(4, 5, seed=1)
    l2 = [(x @ x.T) / (x @ x.T).norm(dim=1, keepdim=True) for x in (s, t)]
    l1 = [F.normalize(x @ x.T, p=1, dim=1) for x in (s, t)]
    loss = SimilarityPreserving()(s, t).mean()
    torch.testing.assert_close(loss, (l2[0] - l2[1]).square().mean())
    assert not torch.isclose(loss, (l1[0] - l1[1]).square().mean())


def test_dist_rewards_correlation():
    t = normal(6, 5)
    same, other, opposite = (Dist()(s, t).mean() for s in (t, normal(6, 5, seed=1), -t))
    assert same == pytest.approx(0, abs=1e-12)
    assert same < other < opposite


def test_mass_outside_the_support_is_not_free():
    """Renormalising the top k would call a student perfect that spreads what it likes outside the support."""
    p = torch.tensor([[0.5, 0.3, 0.1, 0.1]])
    teacher = TopK(p[:, :2], torch.tensor([[0, 1]]), torch.tensor([0.2]))
    faithful = p.log()
    wasteful = torch.tensor([[0.25, 0.15, 0.3, 0.3]]).log()  # the same ratio inside, 0.6 outside
    objective = SoftTargets(temperature=1)
    assert objective(faithful, teacher).item() == pytest.approx(0, abs=1e-6)
    assert objective(wasteful, teacher).item() > 0.1


@pytest.mark.parametrize("classes", [40_000, 140_000])
def test_class_counts_beyond_small_integers(classes):
    s = normal(2, classes)
    y = torch.tensor([classes - 1, 33_000])
    expected = F.cross_entropy(s, y, reduction="none")
    for dtype in (torch.int32, torch.int64):
        torch.testing.assert_close(HardTargets()(s, target=y.to(dtype)), expected)
    torch.testing.assert_close(objectives.get("teacher_argmax")(s, F.one_hot(y, classes).double()), expected)
    values, indices = torch.softmax(s, dim=-1).topk(3)
    teacher = TopK(values, indices.to(torch.int32), 1 - values.sum(-1))
    torch.testing.assert_close(SoftTargets(temperature=1)(s, teacher), torch.zeros(2, dtype=s.dtype), rtol=0, atol=1e-9)


def test_an_averaged_hint_has_a_gradient():
    s = normal(3, 4).requires_grad_()
    teachers = [normal(3, 4, seed=seed) for seed in (1, 2)]
    average = sum(Hint()(s, t) for t in teachers) / len(teachers)
    (gradient,) = torch.autograd.grad(average.sum(), s)
    torch.testing.assert_close(gradient, 2 * (s - sum(teachers) / 2) / 4)


def test_no_gradient_reaches_a_peer_that_plays_the_teacher():
    ours, peer = normal(3, 4).requires_grad_(), normal(3, 4, seed=1).requires_grad_()
    SoftTargets()(ours, 2 * peer).sum().backward()
    assert ours.grad is not None
    assert peer.grad is None


@pytest.mark.parametrize("name", ["variational", "review", "masked_generative", "contrastive"])
def test_own_parameters_exist_before_the_optimizer(name):
    maps = ((2, 3, 8, 8), (2, 4, 4, 4)) if name == "review" else (2, 3, 8, 8)
    objective = objectives.get(name, **({"negatives": 4} if name == "contrastive" else {}))
    assert not objective.built
    objective.build(maps, maps, samples=10)
    assert objective.built
    before = {key: value.clone() for key, value in objective.named_parameters()}
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    draw = [torch.randn(shape) for shape in (maps if name == "review" else (maps,))]
    student, teacher = (tuple(torch.randn_like(x) for x in draw) for _ in range(2))
    if name != "review":
        student, teacher = student[0], teacher[0]
    objective(student, teacher, index=torch.tensor([0, 1])).sum().backward()
    optimizer.step()
    moved = {key for key, value in objective.named_parameters() if not torch.equal(value, before[key])}
    assert moved | {key for key in before if "bias" in key} == set(before)
