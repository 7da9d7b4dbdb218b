"""The divergence of relations, against autograd with all relations in memory."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives.functional import chunking
from limbeck.objectives.functional.relation_divergence import relation_divergence


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direct(student: torch.Tensor, teacher: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The same through autograd, every relation in memory."""

    def log_relations(x):
        scores = x @ x.mT / x.shape[3] ** 0.5
        return scores.masked_fill(~real[:, None, None, :], -1e30).log_softmax(3)

    log_p, log_q = log_relations(teacher), log_relations(student)
    return ((log_p.exp() * (log_p - log_q)).sum(3).mean(1) * real).sum(1) / real.sum(1)


@pytest.mark.parametrize("chunk", [1, 60, 2**17])
@pytest.mark.parametrize("learns", [(True, False), (False, True), (True, True)])
def test_both_sides_gradients_equal_those_of_autograd(chunk, learns, monkeypatch):
    monkeypatch.setitem(chunking.CHUNK, "cpu", chunk)
    s, t = (normal(3, 4, 5, width, seed=width).requires_grad_(learn) for width, learn in zip((2, 6), learns, strict=True))
    real = torch.arange(5) < torch.tensor([[5], [2], [1]])
    ours, theirs = (f(s, t, real) for f in (relation_divergence, direct))
    torch.testing.assert_close(ours, theirs)
    weights = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    inputs = [x for x in (s, t) if x.requires_grad]
    for a, b in zip(*(torch.autograd.grad((x * weights).sum(), inputs) for x in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
