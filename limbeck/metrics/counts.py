"""Counts of right and wrong labels by class, and F1 made of them, where each item may have several labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def counts_by_class(predicted: NDArray[np.bool_], applies: NDArray[np.bool_], known: NDArray[np.bool_]) -> Floats:
    """Whether each label is a true positive, a false positive, a false negative: [seeds, items, 3 · classes].

    Args:
        predicted: [seeds, items, classes].
        applies: whether the label is true, [items, classes].
        known: whether that is known; labels of which it is not do not count.
    """
    parts = [predicted & applies, predicted & ~applies & known, ~predicted & applies]
    return np.concatenate(parts, axis=-1).astype(np.float64)


def by_kind(means: Floats) -> list[Floats]:
    """True positives, false positives and false negatives, [..., classes] each."""
    return np.split(means, 3, axis=-1)


def class_f1(means: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN) of each class, [..., classes]; 0 for a class that is neither predicted nor true."""
    hits, false, missed = by_kind(means)
    return ratio(2 * hits, 2 * hits + false + missed)
