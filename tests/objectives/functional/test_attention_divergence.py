"""The divergence of attention distributions, against autograd."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives import (
    AttentionDistributions,
)
from limbeck.objectives.functional import chunking


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direct(student: torch.Tensor, teacher: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The same through autograd, every relation in memory."""

    def log_relations(x):
        scores = x @ x.mT / x.shape[3] ** 0.5
        return scores.masked_fill(~real[:, None, None, :], -1e30).log_softmax(3)

    log_p, log_q = log_relations(teacher), log_relations(student)
    return ((log_p.exp() * (log_p - log_q)).sum(3).mean(1) * real).sum(1) / real.sum(1)


@pytest.mark.parametrize("chunk", [1, 20, 2**17])
@pytest.mark.parametrize("learns", [(True, False), (False, True), (True, True)])
def test_gradients_of_distributions_equal_those_of_autograd(chunk, learns, monkeypatch):
    monkeypatch.setitem(chunking.CHUNK, "cpu", chunk)
    s, t = (normal(3, 2, 3, 3, seed=seed).softmax(3).requires_grad_(learn) for seed, learn in enumerate(learns))
    ours = AttentionDistributions()(s, t, teacher_gradient=True)
    direct = (t * (t.log() - s.log())).sum(3).mean((1, 2))
    torch.testing.assert_close(ours, direct)
    weights = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    inputs = [x for x in (s, t) if x.requires_grad]
    for a, b in zip(*(torch.autograd.grad((x * weights).sum(), inputs) for x in (ours, direct)), strict=True):
        torch.testing.assert_close(a, b)
