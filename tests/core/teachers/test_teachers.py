"""Who gives the target when it is more than one actor's signal."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.signals import LinearLogits, TopK
from limbeck.core.teachers import Ensemble, PastPredictions, VirtualTeacher
from limbeck.core.terms import Term
from limbeck.objectives import HardTargets, SoftTargets

torch.manual_seed(0)
A, B = 3 * torch.randn(2, 4, 5, dtype=torch.float64)
STUDENT = torch.randn(4, 5, dtype=torch.float64)
X, Y = torch.randn(4, 3), torch.tensor([0, 1, 4, 2])


def answer(teacher, signals=(), target=None, student=STUDENT):
    return teacher.make_target(list(signals), Batch({"default": X}, target=target), student)


def kl(teacher_probabilities, student_logits):
    return (teacher_probabilities * (teacher_probabilities.log() - student_logits.log_softmax(-1))).sum(-1)


# Ensembles


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


# A constant target


def test_a_virtual_teacher_is_right_with_the_given_probability():
    p = answer(VirtualTeacher(0.8), target=Y).softmax(-1)
    expected = torch.full((4, 5), 0.05, dtype=torch.float64)
    expected[torch.arange(4), Y] = 0.8
    torch.testing.assert_close(p, expected)
    torch.testing.assert_close(answer(VirtualTeacher(0.8), target=F.one_hot(Y, 5).double()).softmax(-1), expected)


def test_a_virtual_teacher_says_nothing_about_items_without_a_label():
    for target in (torch.tensor([0, -100, 4, 2]), F.one_hot(Y, 5).double() * torch.tensor([[1], [0], [1], [1]])):
        given = answer(VirtualTeacher(0.8), target=target)
        assert torch.equal(given[1], STUDENT[1])
        assert given[0].argmax() == 0


def test_a_virtual_teacher_must_be_better_than_chance():
    with pytest.raises(ValueError, match="between 0 and 1"):
        VirtualTeacher(1)
    with pytest.raises(TermError, match=r"correct is 0.2; expected more than one in 5"):
        Criterion([Term(SoftTargets(), teacher=VirtualTeacher(0.2))], nn.Linear(3, 5), example=(X, Y))
    with pytest.raises(ValueError, match="needs labels"):
        answer(VirtualTeacher(0.8))


def test_label_smoothing_is_a_virtual_teacher():
    """KL to the constant target is cross entropy with smoothed labels, up to the target's own entropy."""
    smoothing = 0.25  # mass spread over all five classes: the label keeps 1 − 0.25·4/5 = 0.8
    target = answer(VirtualTeacher(0.8), target=Y)
    entropy = -(0.8 * math.log(0.8) + 4 * 0.05 * math.log(0.05))
    smoothed = F.cross_entropy(STUDENT, Y, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(SoftTargets(temperature=1)(STUDENT, target) + entropy, smoothed)


# The student's past


def indexed(*rows: int) -> Batch:
    rows = torch.tensor(rows)
    return Batch({"default": X[rows]}, target=Y[rows], index=rows)


def past_criterion(model: nn.Module) -> Criterion:
    terms = [Term(HardTargets()), Term(SoftTargets(temperature=1), teacher=PastPredictions())]
    return Criterion(terms, model, example=indexed(0, 1), samples=4)


def test_what_was_never_seen_teaches_nothing_and_what_was_seen_is_remembered():
    model = nn.Linear(3, 5)
    criterion = past_criterion(model)
    assert criterion(indexed(0, 1))["soft_targets"].item() == pytest.approx(0, abs=1e-7)
    before = model(X).detach()
    nn.init.normal_(model.weight)
    losses = criterion(indexed(0, 3))
    expected = kl(before[:1].softmax(-1), model(X[:1])).sum() / 2  # item 3 is new: it counts, with zero
    torch.testing.assert_close(losses["soft_targets"], expected)


def test_pieces_of_an_accumulated_batch_learn_from_the_same_past():
    model = nn.Linear(3, 5)
    whole, pieces = past_criterion(model), past_criterion(model)
    for criterion in (whole, pieces):
        criterion(indexed(0, 1, 2, 3))
    nn.init.normal_(model.weight)
    expected = whole(indexed(0, 1, 2, 3))["soft_targets"]
    found = (pieces(indexed(0, 1))["soft_targets"] + pieces(indexed(2, 3))["soft_targets"]) / 2
    torch.testing.assert_close(found, expected)
    assert torch.equal(whole.teachers[1].table.rows, pieces.teachers[1].table.rows)


def test_evaluation_is_not_remembered():
    criterion = past_criterion(nn.Linear(3, 5))
    criterion.eval()(indexed(0, 1))
    assert not criterion.teachers[1].table.written.any()
    criterion.train()(indexed(0, 1))
    assert criterion.teachers[1].table.written.tolist() == [True, True, False, False]


def test_the_past_is_part_of_the_state():
    criterion, resumed = past_criterion(nn.Linear(3, 5)), past_criterion(nn.Linear(3, 5))
    criterion(indexed(0, 2))
    resumed.load_state_dict(criterion.state_dict())
    assert torch.equal(resumed.teachers[1].table.rows, criterion.teachers[1].table.rows)
    assert resumed.teachers[1].table.written.tolist() == [True, False, True, False]


def test_the_past_needs_items_with_an_index():
    terms = [Term(SoftTargets(), teacher=PastPredictions())]
    with pytest.raises(TermError, match="needs a source with a data set"):
        Criterion(terms, nn.Linear(3, 5), example=indexed(0))
    with pytest.raises(TermError, match="needs batches with the index"):
        Criterion(terms, nn.Linear(3, 5), example=(X, Y), samples=4)
    tokens = nn.Sequential(nn.Linear(3, 10), nn.Unflatten(1, (2, 5)))
    with pytest.raises(TermError, match=r"needs logits \[batch, classes\].*\(1, 2, 5\)"):
        Criterion([Term(SoftTargets(), teacher=PastPredictions())], tokens, example=indexed(0), samples=4)
