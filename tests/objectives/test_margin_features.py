"""Margins, and the elements that they leave out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.objectives import (
    MarginFeatures,
    margin_from_batchnorm,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_margin_of_a_batch_norm_is_the_mean_of_its_negative_values():
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 0.1]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 5.0]))
    x = normal(400_000, 4) * norm.weight.detach() + norm.bias.detach()
    sampled = torch.stack([c[c < 0].mean() if (c < 0).any() else c.new_zeros(()) for c in x.T])
    torch.testing.assert_close(margin_from_batchnorm(norm).double(), sampled, rtol=0, atol=0.01)
    with pytest.raises(ValueError, match="margin_features"):
        margin_from_batchnorm(nn.BatchNorm2d(4, affine=False))


def test_a_dead_channel_has_no_margin():
    norm = nn.BatchNorm1d(2)
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.copy_(torch.tensor([1.0, 0.0]))
    assert margin_from_batchnorm(norm).tolist() == [0.0, 0.0]


def test_margin_features_counts_only_what_matters_after_the_activation():
    t = torch.tensor([[-3.0, -1.0, 2.0]])
    objective = MarginFeatures(margin=[-2.0, -2.0, -2.0])
    s = torch.tensor([[-5.0, 0.0, -1.0]], requires_grad=True)
    loss = objective(s, t)
    assert loss.item() == pytest.approx((0 + 1 + 9) / 3)
    assert torch.autograd.grad(loss.sum(), s)[0][0, 0] == 0
    with pytest.raises(ValueError, match=r"margin \(3,\) does not fit the channels of teacher \(1, 2\)"):
        objective(torch.zeros(1, 2), torch.zeros(1, 2))


def test_a_given_margin_is_kept_in_the_state():
    objective = MarginFeatures(margin=torch.tensor([-1.0, -0.5]))
    fresh = MarginFeatures(margin=[0.0, 0.0])
    fresh.load_state_dict(objective.state_dict())
    assert fresh.margin.tolist() == [-1.0, -0.5]
