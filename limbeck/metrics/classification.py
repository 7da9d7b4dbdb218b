"""Metrics of class logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def correct(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """1 if the label has the largest logit, else 0: [seeds, items, 1]."""
    return np.asarray(outputs.argmax(-1) == target, dtype=np.float64)[..., None]


def confusion_cells(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The cell of the confusion matrix of each item, one-hot: [seeds, items, classes²], rows are labels."""
    classes = outputs.shape[-1]
    cell = target.astype(np.int64)[None] * classes + outputs.argmax(-1)
    return np.asarray(np.eye(classes * classes)[cell])


def f1(cells: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN), of class 1 if there are two classes, as in GLUE; else the mean over the classes."""
    matrix = _matrix(cells)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    score = ratio(2 * hits, matrix.sum(-1) + matrix.sum(-2))
    return np.asarray(score[..., 1] if matrix.shape[-1] == 2 else score.mean(-1))


def matthews(cells: Floats) -> Floats:
    """Matthews' correlation coefficient, for several classes in the form of Gorodkin 2004; 0 if a side has one class only."""
    matrix = _matrix(cells)
    hits, labels, predicted = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)
    covariance = hits - (labels * predicted).sum(-1)
    deviations = np.sqrt((1 - (predicted**2).sum(-1)) * (1 - (labels**2).sum(-1)))
    return ratio(covariance, deviations)


def _matrix(cells: Floats) -> Floats:
    classes = int(np.sqrt(cells.shape[-1]).round())
    return cells.reshape(*cells.shape[:-1], classes, classes)
