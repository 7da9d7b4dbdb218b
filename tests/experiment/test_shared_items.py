"""Test items that a run has seen are counted, named and kept in the verdict; a test set of nothing else is refused."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from limbeck import Distillation, Stage, Term, Update, objectives
from limbeck.data import Items
from limbeck.data.dataset import Dataset
from limbeck.data.sources import Mixture, Pool
from limbeck.engine import steps
from tests.experiment.tiny_classifiers import QUICK

DRAW = torch.Generator().manual_seed(0)
X = torch.rand(200, 6, generator=DRAW)
ITEMS = Items.from_tensors(X, (X[:, 0] > 0.5).long())


def part(start: int, stop: int) -> Items:
    return ITEMS.select(torch.arange(start, stop))


def job(**options: object) -> Distillation:
    teacher = nn.Linear(6, 2)
    with torch.no_grad():  # right on every item, so that nothing is said of it
        teacher.weight[:], teacher.bias[:] = torch.zeros(2, 6), torch.tensor([0.0, -10.0])
        teacher.weight[1, 0] = 20.0
    return Distillation(nn.Linear(6, 2), teacher, training=QUICK, control=False, **options)  # type: ignore[arg-type]


def test_some_shared_items_are_counted_in_a_warning_and_in_the_verdict() -> None:
    distillation = job()
    with pytest.warns(UserWarning, match=r"test data: 4 of 24 items are in the training data too \(rows 0, 1, 2, …\)"):
        distillation.check(part(0, 100), test=part(96, 120))
    distillation.fit(part(0, 100))
    with pytest.warns(UserWarning, match="4 of 24 items"):
        verdict = distillation.evaluate(part(96, 120))
    assert verdict.shared_items is not None
    assert (verdict.shared_items.training, verdict.shared_items.items) == (4, 24)
    assert verdict.shared_items.rows == [0, 1, 2]


def test_nothing_is_said_of_items_that_no_training_has_seen() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distillation = job()
        distillation.fit(part(0, 100), part(100, 120))
        assert distillation.evaluate(part(120, 150)).shared_items is None


@pytest.mark.parametrize("test", [part(0, 100), part(20, 60), part(80, 120)])
def test_a_test_set_of_nothing_but_seen_items_is_refused(test: Items) -> None:
    """Also if a part of it became the validation data, as a share of the training data does."""
    with pytest.raises(ValueError, match=r"test data: .*training data too.*nothing new.*data\.allow_shared_items: true"):
        job().check(part(0, 100), validation=part(100, 120), test=test)
    with pytest.warns(UserWarning, match="results on them say little"):
        job(allow_shared_items=True).check(part(0, 100), validation=part(100, 120), test=test)


def test_it_is_refused_where_the_test_data_is_first_seen_at_the_evaluation() -> None:
    distillation = job()
    distillation.fit(part(0, 100))
    with pytest.raises(ValueError, match=r"100 of 100 items are in the training data too \(rows 0, 1, 2, …\)"):
        distillation.evaluate(part(0, 100))


@pytest.mark.parametrize("source", [part(0, 100), Dataset(part(0, 100), 16)])
def test_data_of_a_source_is_training_data(source: object) -> None:
    update = Update([Term(objectives.get("soft_targets"))], source=source)
    with pytest.raises(ValueError, match="50 of 50 items are in the training data too"):
        job(stages=[Stage([update], steps(2))]).check(part(100, 150), test=part(0, 50))


def test_validation_items_that_are_trained_on_are_named() -> None:
    with pytest.warns(UserWarning, match=r"validation data: 10 of 20 items are in the training data too \(rows 0, 1, 2, …\)"):
        job().check(part(0, 100), validation=part(90, 110))


def test_items_in_sources_of_a_mixture_are_seen() -> None:
    mixed = Mixture([Dataset(part(0, 50), 10), Pool(Dataset(part(50, 100), 10), size=20)])
    stages = [Stage([Update([Term(objectives.get("soft_targets"))], source=mixed)], steps(2))]
    test = Items.from_tensors(torch.cat([X[40:54], X[110:120]]), torch.arange(24) % 2)
    with pytest.warns(UserWarning, match="test data: 14 of 24 items are in the training data too"):
        job(stages=stages).check(part(190, 200), test=test)
