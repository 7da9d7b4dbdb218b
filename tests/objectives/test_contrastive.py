"""Contrastive representation distillation: banks, normaliser, resumption."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives import Contrastive


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def contrastive(**hyperparameters: float) -> Contrastive:
    torch.manual_seed(0)
    objective = Contrastive(**{"negatives": 16, "dim": 8, **hyperparameters})
    objective.build((4, 6), (4, 10), samples=20)
    return objective


INDEX = torch.tensor([3, 0, 19, 7])


def test_index_and_samples_are_required():
    s, t = maps(4, 6), maps(4, 10, seed=1)
    with pytest.raises(ValueError, match="contrastive: needs index, each item's row in the data set"):
        contrastive()(s, t)
    with pytest.raises(ValueError, match=r"samples=n"):
        Contrastive().build((4, 6), (4, 10))
    with pytest.raises(ValueError, match="index exceeds the 20 rows"):
        contrastive()(s, t, index=INDEX + 5)
    with pytest.raises(ValueError, match=r"index \(3,\) does not fit student \(4, 6\)"):
        contrastive()(s, t, index=INDEX[:3])


def test_banks_move_in_training_only_after_the_loss_and_only_for_the_batch():
    s, t = maps(4, 6), maps(4, 10, seed=1)
    objective = contrastive()
    before = objective.teacher_bank.clone()
    objective.eval()(s, t, index=INDEX)
    assert torch.equal(before, objective.teacher_bank)
    assert objective.log_normalizer.isnan().all()
    objective.train()(s, t, index=INDEX).sum().backward()
    others = torch.ones(20, dtype=torch.bool)
    others[INDEX] = False
    assert torch.equal(before[others], objective.teacher_bank[others])
    embedded = F.normalize(objective.teacher_embedding(t))
    torch.testing.assert_close(objective.teacher_bank[INDEX], F.normalize(0.5 * before[INDEX] + 0.5 * embedded))
    assert objective.teacher_embedding.weight.grad.abs().sum() > 0


def test_the_normaliser_is_set_once():
    s, t = maps(4, 6), maps(4, 10, seed=1)
    objective = contrastive()
    objective(s, t, index=INDEX)
    first = objective.log_normalizer.clone()
    assert first.isfinite().all()
    objective(2 * s, t, index=INDEX)
    assert torch.equal(first, objective.log_normalizer)


def test_a_resumed_run_repeats_bit_for_bit():
    objective = contrastive()
    batches = [(maps(4, 6, seed=i), maps(4, 10, seed=i + 9), (INDEX + i) % 20) for i in range(4)]
    for s, t, index in batches[:2]:
        objective(s, t, index=index)
    resumed = Contrastive(negatives=16, dim=8)
    resumed.load_state_dict(copy.deepcopy(objective.state_dict()))
    for s, t, index in batches[2:]:
        assert torch.equal(objective(s, t, index=index), resumed(s, t, index=index))


def test_training_tells_items_apart():
    t = maps(20, 10, seed=1)
    torch.manual_seed(0)
    objective = Contrastive(negatives=32, dim=8)
    objective.build((20, 6), (20, 10), samples=20)
    s = maps(20, 6).requires_grad_()
    optimizer = torch.optim.Adam([s, *objective.parameters()], lr=0.02)
    losses = []
    for _ in range(60):
        loss = objective(s, t, index=torch.arange(20)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
