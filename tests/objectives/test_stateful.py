"""Objectives that draw, remember or own networks: masks, memory banks, fusion."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives import Contrastive, MaskedGenerative, Review


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Masked generation


def generative() -> MaskedGenerative:
    torch.manual_seed(0)
    objective = MaskedGenerative()
    objective.build((4, 3, 6, 6), (4, 5, 6, 6))
    return objective


def test_masks_differ_by_step_item_and_position_and_drop_the_ratio():
    objective = generative()
    first, second = (objective._mask(torch.ones(64, 3, 20, 20)) for _ in range(2))
    assert first.shape == (64, 1, 20, 20)
    assert 1 - first.mean().item() == pytest.approx(0.65, abs=0.02)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_masks_ignore_the_global_generator_and_resume_from_a_checkpoint():
    s, t = maps(4, 3, 6, 6), maps(4, 5, 6, 6, seed=1)
    objective = generative()
    objective(s, t)
    saved = copy.deepcopy(objective.state_dict())
    ahead = [objective(s, t) for _ in range(3)]
    torch.manual_seed(123)
    resumed = MaskedGenerative()
    resumed.load_state_dict(saved)
    assert all(torch.equal(resumed(s, t), loss) for loss in ahead)


def test_nothing_is_masked_in_evaluation():
    s, t = maps(4, 3, 6, 6), maps(4, 5, 6, 6, seed=1)
    objective = generative().eval()
    expected = (objective.generator(s) - t).square().mean((1, 2, 3))
    torch.testing.assert_close(objective(s, t), expected)
    assert objective.draws.count == 0


# Knowledge review


def test_review_takes_three_levels_and_refuses_others():
    sizes = [(4, 8), (6, 4), (8, 2)]
    student = tuple(maps(2, c, n, n, seed=c) for c, n in sizes)
    teacher = tuple(maps(2, c + 1, n, n, seed=c + 1) for c, n in sizes)
    objective = Review(mid_channels=3)
    loss = objective(student, teacher)
    assert loss.shape == (2,)
    assert len(objective.fusions) == 3
    loss.sum().backward()
    assert all(p.grad is not None for p in objective.parameters())
    with pytest.raises(ValueError, match="review: was built for 3 levels and got 2"):
        objective(student[:2], teacher[:2])
    with pytest.raises(ValueError, match="review: 3 student taps and 2 teacher taps do not fit"):
        objective(student, teacher[:2])
    with pytest.raises(ValueError, match="review: the student side has 1 taps; it needs two or more"):
        Review()(student[0], teacher[0])


def test_gradient_of_a_shallow_level_reaches_deeper_ones():
    student = tuple(maps(2, 3, n, n, seed=n).requires_grad_() for n in (8, 4))
    objective = Review(mid_channels=3)
    objective.build(((2, 3, 8, 8), (2, 3, 4, 4)), ((2, 3, 8, 8), (2, 3, 4, 4)))
    _, deep = objective.fusions[1](student[1], None)
    out, _ = objective.fusions[0](student[0], deep)
    assert torch.autograd.grad(out.sum(), student[1], retain_graph=True)[0].abs().sum() > 0


# Contrastive


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
