"""Weighted soft labels on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, logits, loss, teacher_logits


def test_by_hand():
    criterion, actors = built("wsld", temperature=2, soft=2.25)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    weight = (1 - torch.exp(-cross_entropy(s) / cross_entropy(t))).detach()
    check_gradients(loss(criterion), (cross_entropy(s) + 2.25 * weight * divergence(t, s, 2)).mean(), actors)


def test_soft_of_zero_is_refused():
    with pytest.raises(ValueError, match="soft is 0; expected a weight above 0"):
        methods.call("wsld", {"soft": 0})
