"""Classification: its metrics, its predictions, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import nn

from limbeck.data import Items
from limbeck.tasks import Classification

LOGITS = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(2, (40,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("metric", "reference"), [("accuracy", accuracy_score), ("f1", f1_score), ("matthews", matthews_corrcoef)]
)
def test_metrics_are_those_of_scikit_learn_over_the_labelled_items(metric, reference) -> None:
    some = LABELS.clone()
    some[:5] = -100
    found = Classification(metric).compute_metrics(LOGITS, Items.from_tensors(torch.rand(40, 3), some))
    assert found[metric] == pytest.approx(reference(LABELS[5:], LOGITS[5:].argmax(1)))
    assert found["cross_entropy"] == pytest.approx(float(nn.functional.cross_entropy(LOGITS[5:], LABELS[5:])))


def test_predictions_of_several_seeds() -> None:
    found = Classification().to_predictions([LOGITS, -LOGITS], Items.from_tensors(torch.rand(40, 3), LABELS))
    assert found["logits"].shape == (2, 40, 2)
    assert found["labels"].tolist() == LABELS.tolist()


def test_unlabelled_items_are_left_out_of_training_and_evaluation() -> None:
    items = Items.from_tensors(torch.rand(4, 3), torch.tensor([0, -100, 1, 1]))
    assert len(Classification().training_items(items)) == len(Classification().evaluation_items(items)) == 3


def test_classes_in_another_order_are_refused() -> None:
    items = Items.from_tensors(torch.rand(8, 3), torch.tensor([0, 1] * 4), class_names=["cat", "dog"])
    model = nn.Linear(3, 2)
    Classification().check(model, items, "student")
    model.config = SimpleNamespace(id2label={0: "dog", 1: "cat"})  # type: ignore[assignment]
    with pytest.raises(
        ValueError, match=r"the classes are numbered 0 'cat', 1 'dog', and those of the student 0 'dog', 1 'cat'"
    ):
        Classification().check(model, items, "student")
    with pytest.raises(ValueError, match="labels go up to 1, but the student outputs 1 classes; give it classes: 2"):
        Classification().check(nn.Linear(3, 1), items, "student")


def test_one_class_is_refused_because_nothing_can_be_learned() -> None:
    items = Items.from_tensors(torch.rand(8, 3), torch.zeros(8, dtype=torch.int64))
    said = r"test data: the student outputs one class, whose softmax is 1 for every item, .*; give data of two classes or more"
    with pytest.raises(ValueError, match=said):
        Classification().check(nn.Linear(3, 1), items, "student", "test data")
    Classification().check(nn.Linear(3, 2), items, "student", "test data")


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'pearson' is no metric of classification; choose one of accuracy, f1, matthews"):
        Classification("pearson")
