"""Past predictions: the table, what it is read for, and its state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.teachers import PastPredictions
from limbeck.core.terms import Term
from limbeck.objectives import HardTargets, SoftTargets

X, Y = torch.randn(4, 3), torch.tensor([0, 1, 4, 2])


def kl(teacher_probabilities, student_logits):
    return (teacher_probabilities * (teacher_probabilities.log() - student_logits.log_softmax(-1))).sum(-1)


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
