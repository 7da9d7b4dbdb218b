"""The temperature climbs what the student descends, on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, logits, loss, teacher_logits


@pytest.mark.parametrize(("progress", "strength"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.9, 1.0)])
def test_by_hand(progress, strength):
    criterion, actors = built("ctkd", span=4, until=0.1, alpha=0.9)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    theta = torch.zeros(1, requires_grad=True)
    temperature = 1 + 4 * torch.sigmoid(theta)
    expected = (0.1 * cross_entropy(s) + 0.9 * divergence(t, s, temperature)).mean()
    (climb,) = torch.autograd.grad(expected, theta, retain_graph=True)
    (parameter,) = criterion.parameters()
    check_gradients(loss(criterion, progress=progress), expected, actors)
    torch.testing.assert_close(parameter.grad, -strength * climb)
    assert climb != 0


def test_span_out_of_range():
    with pytest.raises(ValueError, match="span is 0; use a value above 0"):
        methods.call("ctkd", {"span": 0})
