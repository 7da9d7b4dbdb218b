"""Metrics of several labels of each item, any number of which may apply.

Outputs are logits [seeds, items, classes]; a label is predicted if its logit is above 0. Targets are [items, classes]: 1 if the
label applies, 0 if it does not, -100 if that is unknown. Unknown labels do not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.counts import by_kind, class_f1, counts_by_class
from limbeck.metrics.measure import Floats, ItemRecords, Measure, Records, Rows, draw_counts
from limbeck.metrics.metric import ratio
from limbeck.metrics.undefined import no_label_applies


def label_counts(outputs: NDArray[np.float32], target: NDArray[Any]) -> Floats:
    """Whether each label is a true positive, a false positive, a false negative: [seeds, items, 3 · classes]."""
    return counts_by_class(outputs > 0, target == 1, target >= 0)


def macro_f1(means: Floats) -> Floats:
    """The mean over classes of 2·TP / (2·TP + FP + FN); 0 for a class that is neither predicted nor true."""
    return np.asarray(class_f1(means).mean(-1))


def micro_f1(means: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN) over all labels of all classes."""
    hits, false, missed = (part.sum(-1) for part in by_kind(means))
    return ratio(2 * hits, 2 * hits + false + missed)


class MeanAveragePrecision(Measure):
    """The mean over classes of the average precision, Σ_n (R_n − R_{n−1}) P_n over the thresholds from high to low.

    R_n and P_n are recall and precision of the labels whose logit is at or above the n-th highest value; equal logits are one
    threshold, and nothing is interpolated. Classes for which no label of the set applies are left out of the mean.
    """

    name = "mean_average_precision"

    def undefined(self, target: NDArray[Any], classes: int | None) -> str | None:
        return no_label_applies(self.name, target, classes)

    def records(self, outputs: NDArray[Any], target: NDArray[Any]) -> Records:
        return Records({"scores": outputs, "labels": target.astype(np.int8)[None]})

    def over(self, records: ItemRecords, rows: Rows) -> float:
        return float(self.over_draws(records, rows[None])[0])

    def over_draws(self, records: ItemRecords, draws: Rows) -> Floats:
        scores, labels = records["scores"], records["labels"]
        counts = draw_counts(draws, len(labels)).astype(np.int32)
        values = np.stack([_average_precision(scores[:, at], labels[:, at], counts) for at in range(labels.shape[1])])
        defined = np.isfinite(values)
        return ratio(np.where(defined, values, 0).sum(0), defined.sum(0).astype(np.float64))


def _average_precision(scores: NDArray[Any], labels: NDArray[np.int8], counts: NDArray[np.int32]) -> Floats:
    """The average precision of one class in each of several sets, NaN without a label that applies.

    Args:
        scores, labels: [items].
        counts: how often each item is in each set, [sets, items].
    """
    order = np.flatnonzero(labels >= 0)
    order = order[np.argsort(-scores[order], kind="stable")]
    ranked, applies = scores[order], labels[order] == 1
    # of each label that applies, the last label with the same logit
    last = np.searchsorted(-ranked, -ranked[applies], side="right") - 1
    drawn = counts[:, order]
    hits, predicted = np.cumsum(drawn[:, applies], axis=1), np.cumsum(drawn, axis=1)[:, last]
    same_or_above = np.searchsorted(last, last, side="right") - 1  # the last of these labels at the same threshold
    precision = ratio(hits[:, same_or_above].astype(np.float64), predicted.astype(np.float64))
    total = drawn[:, applies].sum(1).astype(np.float64)
    found = (precision * drawn[:, applies]).sum(1)
    return np.asarray(np.divide(found, total, out=np.full(len(counts), np.nan), where=total > 0))
