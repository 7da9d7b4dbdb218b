"""Masked generative distillation: the masks."""

from __future__ import annotations

import copy

import pytest
import torch

from limbeck.objectives import MaskedGenerative


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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
