"""Calibration of a classifier: how far its confidence is from its accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from limbeck.evaluation.record import Record

BINS = 15


class CalibrationBin(Record):
    """Predictions of similar confidence: their mean confidence, their accuracy and their number."""

    confidence: float
    accuracy: float
    count: int


class ConfidenceBins(NamedTuple):
    """Predictions sorted by confidence into bins of equal width: per bin the sum of confidences, the number of correct
    predictions and the number of items."""

    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    items: NDArray[np.int64]


def confidence_bins(probabilities: ArrayLike | Tensor, labels: ArrayLike | Tensor, bins: int = BINS) -> ConfidenceBins:
    """Bins of equal width over the largest probability, open below and closed above. `probabilities` [items, classes]."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    sums = [np.bincount(bin_of, weights=values, minlength=bins).astype(np.float64) for values in (confidence, correct)]
    return ConfidenceBins(sums[0], sums[1], np.bincount(bin_of, minlength=bins))


def expected_calibration_error(probabilities: ArrayLike | Tensor, labels: ArrayLike | Tensor, bins: int = BINS) -> float:
    """The expected calibration error (Guo et al. 2017, arXiv 1706.04599).

    Σ_b |B_b|/N · |accuracy(B_b) − confidence(B_b)| over bins of equal width.

    Args:
        probabilities: [items, classes].
        labels: [items].
        bins: number of bins.
    """
    found = confidence_bins(probabilities, labels, bins)
    return float(np.abs(found.confidence - found.correct).sum() / found.items.sum())


def calibration_bins(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> list[CalibrationBin]:
    """The non-empty bins of the expected calibration error, over all seeds together. `logits` [seeds, items, classes]."""
    found = confidence_bins(softmax(logits).reshape(-1, logits.shape[2]), np.tile(labels, len(logits)))
    columns = zip(found.confidence, found.correct, found.items, strict=True)
    return [
        CalibrationBin(confidence=confidence / n, accuracy=correct / n, count=int(n)) for confidence, correct, n in columns if n
    ]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Class probabilities along the last axis, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
