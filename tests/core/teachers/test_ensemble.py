"""Ensembles: means of logits and of probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.signals import LinearLogits, TopK
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.objectives import SoftTargets

A, B = 3 * torch.randn(2, 4, 5, dtype=torch.float64)
STUDENT = torch.randn(4, 5, dtype=torch.float64)
X, Y = torch.randn(4, 3), torch.tensor([0, 1, 4, 2])


def answer(teacher, signals=(), target=None, student=STUDENT):
    return teacher.make_target(list(signals), Batch({"default": X}, target=target), student)


def kl(teacher_probabilities, student_logits):
    return (teacher_probabilities * (teacher_probabilities.log() - student_logits.log_softmax(-1))).sum(-1)


def test_mean_logits():
    torch.testing.assert_close(answer(Ensemble(["a", "b"]), (A, B)), (A + B) / 2)
    torch.testing.assert_close(answer(Ensemble(["a", "b"], weights=[1, 3]), (A, B)), A / 4 + 3 * B / 4)


def test_mean_probabilities():
    for weights, expected in ((None, (A.softmax(-1) + B.softmax(-1)) / 2), ([1, 3], A.softmax(-1) / 4 + 3 * B.softmax(-1) / 4)):
        given = answer(Ensemble(["a", "b"], combine="probabilities", weights=weights), (A, B))
        torch.testing.assert_close(given.exp(), expected)
    torch.testing.assert_close(
        answer(Ensemble(["a", "b"], combine="probabilities", weights=[0, 1]), (A, B)).exp(), B.softmax(-1)
    )


def fixed(logits: torch.Tensor) -> nn.Module:
    """A model that says `logits` whatever it reads."""
    model = nn.Linear(3, 5, dtype=logits.dtype)
    model.forward = lambda x: logits + 0 * model.weight.sum()
    return model


def test_logits_probabilities_and_losses_are_three_different_means():
    actors = Actors({"student": trained(fixed(STUDENT)), "peers.a": frozen(fixed(A)), "peers.b": frozen(fixed(B))})
    teachers = {
        "logits": Ensemble("peers.*"),
        "probabilities": Ensemble("peers.*", combine="probabilities"),
        "losses": "peers.*",
    }
    terms = [Term(SoftTargets(temperature=1), teacher=teacher, name=name) for name, teacher in teachers.items()]
    losses = Criterion(terms, actors=actors)(Batch({"default": X}))
    expected = {
        "logits": kl(((A + B) / 2).softmax(-1), STUDENT).mean(),
        "probabilities": kl((A.softmax(-1) + B.softmax(-1)) / 2, STUDENT).mean(),
        "losses": (kl(A.softmax(-1), STUDENT) + kl(B.softmax(-1), STUDENT)).mean() / 2,
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].detach(), value)
    assert len({round(value.item(), 3) for value in expected.values()}) == 3


def test_an_ensemble_reads_logits_not_multiplied_out():
    signal = LinearLogits(torch.randn(4, 2), torch.randn(5, 2))
    torch.testing.assert_close(answer(Ensemble("x"), (signal, signal.dense())), signal.dense())


def test_what_cannot_be_averaged_is_refused_with_its_shapes():
    with pytest.raises(ValueError, match=r"dense logits of one shape; got \(4, 5\), \(4, 6\)"):
        answer(Ensemble("x"), (A, torch.randn(4, 6)))
    with pytest.raises(ValueError, match="dense logits"):
        answer(Ensemble("x"), (TopK(torch.rand(4, 2), torch.zeros(4, 2), torch.rand(4)),))
    with pytest.raises(ValueError, match="1 weights for 2 teachers"):
        answer(Ensemble("x", weights=[1]), (A, B))
    for weights in ([1, -1], [0, 0]):
        with pytest.raises(ValueError, match="numbers of 0 or more, not all 0"):
            Ensemble("x", weights=weights)
    with pytest.raises(ValueError, match="combine is 'votes'"):
        Ensemble("x", combine="votes")
