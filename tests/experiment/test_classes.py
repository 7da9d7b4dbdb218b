"""The classes of teacher, student and data are compared before anything is trained."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limbeck import Distillation
from limbeck.data import Items
from tests.experiment.tiny_classifiers import QUICK

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
SIDES = (X[:, 0] > 0).long()


def teacher(*names: str) -> nn.Module:
    """A linear teacher that knows the sign of the first number; with three classes the middle one never wins."""
    model = nn.Linear(6, len(names))
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
        for at, name in enumerate(names):
            sign = {"negative": -1.0, "positive": 1.0}.get(name.strip().lower())
            model.weight[at, 0] = 0.0 if sign is None else 5 * sign
            model.bias[at] = -50.0 if sign is None else 0.0
    model.config = SimpleNamespace(id2label=dict(enumerate(names)))  # type: ignore[assignment]
    return model


def data(*names: str) -> Items:
    return Items.from_tensors(X, SIDES, class_names=list(names))


def test_the_spelling_of_names_does_not_matter() -> None:
    job = Distillation(nn.Linear(6, 2), teacher("NEGATIVE", "positive "), training=QUICK, allow_shared_items=True)
    job.fit(data("negative", "Positive"))
    verdict = job.evaluate(data("Negative", "POSITIVE"))
    assert verdict.teacher is not None
    assert verdict.teacher.metric == 1.0


def test_a_subset_takes_the_numbering_of_the_teacher() -> None:
    job = Distillation(
        lambda: nn.Linear(6, 3), teacher("Negative", "neutral", "Positive"), training=QUICK, allow_shared_items=True
    )
    job.fit(data("negative", "positive"))
    verdict = job.evaluate(data("negative", "positive"))
    assert verdict.teacher is not None
    assert verdict.teacher.metric == 1.0
    assert verdict.classes == ["Negative", "neutral", "Positive"]


def test_another_order_is_refused_whatever_the_spelling() -> None:
    with pytest.raises(
        ValueError, match=r"numbered 0 'negative', 1 'positive', and those of the \w+ 0 'Positive', 1 'Negative'"
    ):
        Distillation(nn.Linear(6, 2), teacher("Positive", "Negative"), training=QUICK).check(data("negative", "positive"))


def test_a_class_at_another_place_is_refused_if_others_are_the_same() -> None:
    items = Items.from_tensors(X, SIDES, class_names=["odd", "negative"])
    with pytest.raises(ValueError, match=r"class 'odd' has another number in the teacher|class 'negative' has another number"):
        Distillation(nn.Linear(6, 2), teacher("negative", "positive"), training=QUICK).check(items)


def test_more_outputs_than_names_are_found_before_the_training() -> None:
    job = Distillation(nn.Linear(6, 3), nn.Linear(6, 3), training=QUICK)
    with pytest.raises(ValueError, match=r"training data: it has 2 classes \(0: a, 1: b\), but the student outputs 3; write"):
        job.check(data("a", "b"))
    job.check(Items.from_tensors(X, SIDES))  # numbers may leave the last ones out


def test_numbers_in_the_test_data_and_names_in_the_training_data() -> None:
    job = Distillation(nn.Linear(6, 2), nn.Linear(6, 2), training=QUICK, allow_shared_items=True)
    numbers = Items.from_tensors(X, SIDES)
    with pytest.raises(ValueError, match="test data: its classes are numbers, and those of the training data have names"):
        job.check(data("a", "b"), test=numbers)
    with pytest.raises(ValueError, match="test data: its classes have names, and those of the training data are numbers"):
        job.check(numbers, test=data("a", "b"))
    job.fit(Items.from_tensors(X, 1 - SIDES, class_names=["1", "0"]))
    assert job.evaluate(numbers).items == 60
