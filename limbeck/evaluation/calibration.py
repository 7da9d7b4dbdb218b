"""Calibration of a classifier: how far its confidence is from its accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from limbeck.evaluation.record import Record

BINS = 15
BLOCK = 1 << 20  # probabilities that are computed at a time


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
    p = np.asarray(probabilities, dtype=np.float64)
    return _bins(p.max(axis=1), p.argmax(axis=1) == np.asarray(labels), bins)


def _bins(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> ConfidenceBins:
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
    return _error(confidence_bins(probabilities, labels, bins))


def mean_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """The expected calibration error of each seed, averaged. Both [seeds, items]."""
    return float(np.mean([_error(_bins(*of_seed)) for of_seed in zip(confidence, correct, strict=True)]))


def _error(found: ConfidenceBins) -> float:
    return float(np.abs(found.confidence - found.correct).sum() / found.items.sum())


def calibration_bins(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> list[CalibrationBin]:
    """The non-empty bins of the expected calibration error, over all seeds together. Both [seeds, items]."""
    found = _bins(confidence.ravel(), correct.ravel())
    columns = zip(found.confidence, found.correct, found.items, strict=True)
    return [CalibrationBin(confidence=sure / n, accuracy=right / n, count=int(n)) for sure, right, n in columns if n]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Class probabilities along the last axis, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def top_probability(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """`softmax(logits).max(-1)`, 1 / Σ_c exp(z_c − max z), block by block: [..., items, classes] → [..., items]."""
    rows = logits.reshape(-1, logits.shape[-1])
    block = max(1, BLOCK // rows.shape[1])
    parts = [_sum_of_powers(rows[start : start + block]) for start in range(0, len(rows), block)]
    return (1 / np.concatenate(parts)).reshape(logits.shape[:-1])


def _sum_of_powers(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Σ_c exp(z_c − max z) of each row, with one array of its size."""
    powers = logits.astype(np.float64)
    powers -= logits.max(axis=-1, keepdims=True)
    return np.asarray(np.exp(powers, out=powers).sum(axis=-1))
