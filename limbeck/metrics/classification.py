"""Metrics of class logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def correct(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """1 if the label has the largest logit, else 0: [seeds, items, 1]."""
    return np.asarray(outputs.argmax(-1) == target, dtype=np.float64)[..., None]


def class_counts(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The class of each label, of each prediction, and of each label that is predicted, one-hot: [seeds, items, 3·classes].

    These are the margins and the diagonal of the confusion matrix, which has classes² cells.
    """
    classes, predicted = outputs.shape[-1], outputs.argmax(-1)
    found = np.zeros((*predicted.shape, 3, classes))
    labels = np.broadcast_to(target.astype(np.int64), predicted.shape)
    for at, (which, value) in enumerate(((labels, 1.0), (predicted, 1.0), (labels, predicted == labels))):
        np.put_along_axis(found[..., at, :], which[..., None], np.asarray(value)[..., None], -1)
    return found.reshape(*predicted.shape, 3 * classes)


def f1(counts: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN), of class 1 if there are two classes, as in GLUE; else the mean over the classes."""
    labels, predicted, hits = _by_kind(counts)
    score = ratio(2 * hits, labels + predicted)
    return np.asarray(score[..., 1] if score.shape[-1] == 2 else score.mean(-1))


def matthews(counts: Floats) -> Floats:
    """Matthews' correlation coefficient, for several classes in the form of Gorodkin 2004; 0 if a side has one class only."""
    labels, predicted, hits = _by_kind(counts)
    covariance = hits.sum(-1) - (labels * predicted).sum(-1)
    deviations = np.sqrt((1 - (predicted**2).sum(-1)) * (1 - (labels**2).sum(-1)))
    return ratio(covariance, deviations)


def _by_kind(counts: Floats) -> Floats:
    """Shares of the items by class: of labels, of predictions and of hits, [3, ..., classes]."""
    return np.moveaxis(counts.reshape(*counts.shape[:-1], 3, -1), -2, 0)
