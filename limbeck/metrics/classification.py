"""Metrics of class logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from limbeck.metrics.counted import CountedMeasure
from limbeck.metrics.measure import Floats, ItemRecords, Records
from limbeck.metrics.metric import ratio
from limbeck.metrics.undefined import Reason


def correct(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """1 if the label has the largest logit, else 0: [seeds, items, 1]."""
    return np.asarray(outputs.argmax(-1) == target, dtype=np.float64)[..., None]


class ClassMetric(CountedMeasure):
    """A metric of one label an item: a function of the margins and the diagonal of the confusion matrix.

    Args:
        name: as recipes and verdicts write it.
        function: how often each class is predicted rightly, predicted, and true, [classes, sets] each → [sets].
        undefined_for: why labels leave it undefined.
        percent: whether it is a fraction that is shown as a percentage.
    """

    def __init__(
        self, name: str, function: Callable[[Floats, Floats, Floats], Floats], undefined_for: Reason, *, percent: bool = True
    ) -> None:
        self.name, self.function, self.undefined_for, self.percent = name, function, undefined_for, percent

    def undefined(self, target: NDArray[Any], classes: int | None) -> str | None:
        return self.undefined_for(self.name, target, classes)

    def records(self, outputs: NDArray[Any], target: NDArray[Any]) -> Records:
        """The predicted and the true class of each item; never a number for each class or pair of classes."""
        classes = np.full((1, len(target)), outputs.shape[-1], np.int64)
        return Records({"predicted": outputs.argmax(-1), "label": target.astype(np.int64)[None], "classes": classes})

    def over_counts(self, records: ItemRecords, counts: NDArray[np.floating[Any]]) -> Floats:
        predicted, label, classes = records["predicted"], records["label"], int(records["classes"][0])
        right = np.flatnonzero(predicted == label)
        parts = ((label[right], right), (predicted, np.arange(len(label))), (label, np.arange(len(label))))
        hits, chosen, true = (_sums(of, rows, counts, classes).astype(np.float64) for of, rows in parts)
        return self.function(hits, chosen, true)

    def codes(self, records: ItemRecords) -> NDArray[np.int64]:
        """Wrong before right, then by predicted and by true class, from the last to the first."""
        predicted, label, classes = records["predicted"], records["label"], int(records["classes"][0])
        wrong = (classes - 1 - predicted) * classes + (classes - 1 - label)
        return np.where(predicted == label, classes**2 + classes - 1 - label, wrong)


def _sums(of: NDArray[np.int64], rows: NDArray[np.int64], counts: NDArray[np.floating[Any]], classes: int) -> Floats:
    """Σ counts[rows] by class: a weighted `bincount` for all sets at once, [classes, sets]."""
    ones = np.ones(len(rows), counts.dtype)
    return np.asarray(csr_matrix((ones, (of, rows)), shape=(classes, len(counts))) @ counts)


def f1(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN), of class 1 if there are two classes, as in GLUE; else the mean over the classes."""
    score = ratio(2 * hits, predicted + true)
    return np.asarray(score[1] if len(score) == 2 else score.mean(0))


def matthews(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """Matthews' correlation coefficient, for several classes in the form of Gorodkin 2004; 0 if a side has one class only."""
    items = true.sum(0)
    shares, chosen = true / items, predicted / items
    covariance = hits.sum(0) / items - (shares * chosen).sum(0)
    deviations = np.sqrt((1 - (chosen**2).sum(0)) * (1 - (shares**2).sum(0)))
    return ratio(covariance, deviations)
