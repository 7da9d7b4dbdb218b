"""Objectives on features: margins, variances, sizes of maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck import objectives
from limbeck.objectives import (
    AttentionTransfer,
    Flow,
    NeuronSelectivity,
    StandardizedFeatures,
    Variational,
)
from limbeck.objectives.functional.elementary import standardize


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_variance_starts_where_it_is_asked_to():
    for start in (0.01, 5.0, 200.0):
        objective = Variational(init_variance=start)
        objective.build((2, 3, 4, 4), (2, 3, 4, 4))
        variance = nn.functional.softplus(objective.rho) + 1e-5
        torch.testing.assert_close(variance, torch.full((3,), start))


@pytest.mark.parametrize("sizes", [((4, 4), (4, 4)), ((6, 5), (3, 2)), ((3, 2), (6, 5)), ((4, 2), (2, 4))])
def test_flow_pools_the_larger_map(sizes):
    maps = tuple(normal(2, channels, *size, seed=channels) for channels, size in zip((2, 3), sizes, strict=True))
    assert Flow()(maps, maps).tolist() == [0, 0]


def test_flow_refuses_other_numbers_of_taps_and_channels():
    pair = (normal(2, 3, 4, 4), normal(2, 5, 4, 4))
    with pytest.raises(ValueError, match="flow: the student side has 1 taps; it needs 2"):
        Flow()(pair[0], pair)
    with pytest.raises(ValueError, match=r"flow: student \(2, 5, 4, 4\) and teacher \(2, 3, 4, 4\) do not fit"):
        Flow()((pair[0], pair[1]), (pair[0], pair[0]))
    with pytest.raises(ValueError, match="expected 4 axes"):
        Flow()((pair[0].flatten(1), pair[1]), pair)


@pytest.mark.parametrize("channels", [(3, 4), (12, 10)])
def test_both_ways_of_neuron_selectivity_agree(channels):
    s, t = (normal(2, c, 3, 3, seed=c) for c in channels)
    x, y = (nn.functional.normalize(z.flatten(2), dim=2) for z in (s, t))
    pairs = [((a @ b.mT) ** 2).mean((1, 2)) for a, b in ((y, y), (x, x), (x, y))]
    torch.testing.assert_close(NeuronSelectivity()(s, t), pairs[0] + pairs[1] - 2 * pairs[2])


def test_standardized_features_equal_one_minus_the_correlation():
    s, t = normal(4, 1, 3, 3), normal(4, 1, 3, 3, seed=1)
    correlation = torch.corrcoef(torch.stack([s.flatten(), t.flatten()]))[0, 1]
    torch.testing.assert_close(StandardizedFeatures()(s, t).mean(), 1 - correlation)


def test_a_constant_channel_is_not_blown_up_by_rounding():
    s = torch.full((8, 2, 5, 5), 0.1)
    s[:, 1] = torch.randn(8, 5, 5)
    assert StandardizedFeatures()(s, s.clone()).tolist() == [0.0] * 8
    assert standardize(s, (0, 2, 3))[:, 0].abs().max() < 1e-3


def test_attention_ignores_channel_counts_and_scale():
    t = normal(2, 3, 4, 4)
    torch.testing.assert_close(
        AttentionTransfer()(5 * t.repeat(1, 2, 1, 1), t), torch.zeros(2, dtype=t.dtype), rtol=0, atol=1e-20
    )
    with pytest.raises(ValueError, match=r"attention_transfer: .* heights and widths"):
        AttentionTransfer()(normal(2, 3, 5, 4), t)


def test_value_checks_can_be_turned_off():
    objective = objectives.get("hint")
    objective.validate = False
    assert objective(torch.zeros(1, 2), torch.full((1, 2), torch.nan)).isnan().all()
