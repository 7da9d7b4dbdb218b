"""Labels and teacher in a proportion that is found during the training."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from limbeck.core.criterion import Criterion
from limbeck.engine import steps
from tests.methods.by_hand import X, Y, built, cross_entropy, divergence, logits, teacher_logits


def made(by):
    _, actors = built("hinton")
    (stage,) = methods.call("balanced", {"by": by, "temperature": 2}, length=steps(10))["stages"]
    (update,) = stage.updates
    return Criterion(update.terms, actors=actors, example=(X, Y), balance=update.balance), actors


def test_gradients_of_both_terms_have_one_norm():
    criterion, actors = made({"gradient_norm": {"alpha": 0, "every": 1, "momentum": 0}})
    found = criterion((X, Y))
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    parts = [cross_entropy(s).mean(), divergence(t, s, 2).mean()]
    parameters = list(actors["student"].model.parameters())
    grads = [torch.cat([g.flatten() for g in torch.autograd.grad(part, parameters, retain_graph=True)]) for part in parts]
    inverse = 1 / torch.stack([grad.norm() for grad in grads])
    factors = 2 * inverse / inverse.sum()
    torch.testing.assert_close(found["loss"], factors[0] * parts[0] + factors[1] * parts[1])
    found["loss"].backward()
    given = torch.cat([p.grad.flatten() for p in parameters])
    torch.testing.assert_close(given, factors[0] * grads[0] + factors[1] * grads[1], rtol=1e-4, atol=1e-6)


def test_learned_uncertainty_starts_at_the_plain_sum():
    criterion, actors = made("uncertainty")
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    parts = torch.stack([cross_entropy(s).mean(), divergence(t, s, 2).mean()])
    found = criterion((X, Y))
    torch.testing.assert_close(found["loss"], parts.sum())
    found["loss"].backward()
    (trained,) = criterion.parameters()
    torch.testing.assert_close(trained.grad, (0.5 - parts).detach())


def test_an_unknown_balance_is_refused():
    with pytest.raises(ValueError, match="unknown balance 'gradnorm'"):
        methods.call("balanced", {"by": "gradnorm"}, length=steps(1))
