"""Metrics that say nothing about data of one class or of equal numbers are told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from limbeck.data import Items
from limbeck.metrics import Measure, Records, Rows
from limbeck.metrics.measure import ItemRecords
from limbeck.tasks import Classification, MultilabelClassification, Regression, Task
from limbeck.tasks.undefined_metrics import warn_of_undefined

X = torch.randn(4, 2)


def told(task: Task, target: list[object], classes: int | None) -> str:
    items = Items.from_tensors(X, torch.tensor(target), classes=None if isinstance(task, MultilabelClassification) else classes)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_undefined(task, items, classes, "new.csv")
    return str(found[0].message) if found else ""


@pytest.mark.parametrize(
    ("task", "target", "classes", "expected"),
    [
        (Regression("pearson"), [2.5] * 4, None, "all labels are 2.5, for which pearson is not defined; it is told as 0"),
        (Regression("spearman"), [2.5, float("nan"), 2.5, 2.5], None, "all labels are 2.5, for which spearman is not"),
        (Regression("mean_squared_error"), [2.5] * 4, None, ""),
        (Regression("pearson"), [1.0, 2.0, 3.0, 4.0], None, ""),
        (Classification("matthews"), [1] * 4, 3, "all labels are 1, for which matthews is not defined"),
        (Classification("f1"), [1, 1, 0, 1], 5, "3 of 5 classes have no item, and f1 counts each as 0"),
        (Classification("f1"), [0] * 4, 2, "no label is class 1, of which f1 is"),
        (Classification("f1"), [1] * 4, 2, ""),
        (Classification("accuracy"), [1] * 4, 3, ""),
        (MultilabelClassification("macro_f1"), [[1, 0, 0]] * 4, 3, "2 of 3 classes have no item, and macro_f1 counts each"),
        (MultilabelClassification("micro_f1"), [[0, 0, 0]] * 4, 3, "no label applies to any item, so that micro_f1 is 0"),
        (MultilabelClassification("micro_f1"), [[1, 0, 0]] * 4, 3, ""),
    ],
)
def test_what_a_metric_cannot_say_is_told(task: Task, target: list[object], classes: int | None, expected: str) -> None:
    found = told(task, target, classes)
    assert expected in found
    assert bool(found) == bool(expected)


class Median(Measure):
    name = "median"

    def records(self, outputs: np.ndarray, target: np.ndarray) -> Records:
        return Records({"error": np.abs(outputs[..., 0] - target)})

    def over(self, records: ItemRecords, rows: Rows) -> float:
        return float(np.median(records["error"][rows]))

    def undefined(self, target: np.ndarray, classes: int | None) -> str | None:
        return "fewer than 5 items" if len(target) < 5 else None


def test_a_metric_of_ones_own_says_what_it_cannot() -> None:
    task = Regression()
    task.metric = Median()
    assert told(task, [1.0, 2.0, 3.0, 4.0], None).startswith("new.csv: fewer than 5 items; give data with other labels")
