"""Metrics of class logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.counts import by_kind, class_f1, counts_by_class
from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def correct(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """1 if the label has the largest logit, else 0: [seeds, items, 1]."""
    return np.asarray(outputs.argmax(-1) == target, dtype=np.float64)[..., None]


def class_counts(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """`counts_by_class` of the labels of which each item has one: [seeds, items, 3 · classes].

    They hold the margins and the diagonal of the confusion matrix, which has classes² cells.
    """
    each = np.arange(outputs.shape[-1])
    applies = target[..., None] == each
    return counts_by_class(outputs.argmax(-1)[..., None] == each, applies, np.ones_like(applies))


def f1(means: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN), of class 1 if there are two classes, as in GLUE; else the mean over the classes."""
    score = class_f1(means)
    return np.asarray(score[..., 1] if score.shape[-1] == 2 else score.mean(-1))


def matthews(means: Floats) -> Floats:
    """Matthews' correlation coefficient, for several classes in the form of Gorodkin 2004; 0 if a side has one class only."""
    hits, false, missed = by_kind(means)
    labels, predicted = hits + missed, hits + false
    covariance = hits.sum(-1) - (labels * predicted).sum(-1)
    deviations = np.sqrt((1 - (predicted**2).sum(-1)) * (1 - (labels**2).sum(-1)))
    return ratio(covariance, deviations)
