"""Weights by entropy on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import (
    UNLABELLED,
    built,
    check_gradients,
    cross_entropy,
    divergence,
    entropy,
    logits,
    loss,
    teacher_logits,
)


@pytest.mark.parametrize("labelled", [True, False])
def test_by_hand(labelled):
    criterion, actors = built("eb_kd", teachers=3, temperature=2, alpha=0.9)
    teachers, s = teacher_logits(actors), logits(actors, "student")
    entropies = torch.stack([entropy(z) for z in teachers])
    share = (1 - entropies / entropies.sum(0)) / 2
    torch.testing.assert_close(share.sum(0), torch.ones(2))
    expected = 0.9 * (share * torch.stack([divergence(z, s, 2) for z in teachers])).sum(0)
    expected = expected + 0.1 * cross_entropy(s) if labelled else expected
    value = loss(criterion) if labelled else loss(criterion, UNLABELLED)
    check_gradients(value, expected.mean(), actors)


def test_alpha_out_of_range():
    with pytest.raises(ValueError, match=r"eb_kd: alpha is 1\.5"):
        methods.call("eb_kd", {"alpha": 1.5})
