"""Metrics that are functions of means over items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats, ItemRecords, Measure, Records, Rows
from limbeck.metrics.undefined import Reason

ItemStatistics: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.generic]], Floats]
FromMeans: TypeAlias = Callable[[Floats], Floats]


STATISTICS = "statistics"


@dataclass(frozen=True)
class Metric(Measure):
    """A metric of predictions, as a function of means over items.

    Accuracy is the mean of one number for each item (0 or 1). Matthews' correlation is a function of the means of the cells of
    the confusion matrix, Pearson's correlation one of the means of x, y, x², y² and xy, and a mean over tokens the ratio of two
    means over texts. In this form every metric can be bootstrapped: draw items, take the means, apply the function.

    Attributes:
        name: as recipes and verdicts write it.
        item_statistics: outputs [seeds, items, classes] (class logits; one column for a predicted number) and targets
            [items] → [seeds, items, k], the numbers whose means the metric is a function of.
        from_means: means [..., k] → the metric [...].
        higher_is_better: whether a higher value is better.
        percent: whether it is a fraction that is shown as a percentage.
        share: whether it is the share of the items that are right.
        undefined_for: why labels leave it undefined; None if no labels do.
    """

    name: str
    item_statistics: ItemStatistics
    from_means: FromMeans
    higher_is_better: bool = True
    percent: bool = True
    share: bool = False
    undefined_for: Reason | None = None

    def undefined(self, target: NDArray[np.generic], classes: int | None) -> str | None:
        return self.undefined_for(self.name, target, classes) if self.undefined_for is not None else None

    def records(self, outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Records:
        return Records({STATISTICS: self.item_statistics(outputs, target)})

    def over(self, records: ItemRecords, rows: Rows) -> float:
        return float(self.from_means(records[STATISTICS][rows].mean(axis=0)))

    def compute(self, outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
        """The metric of each seed, [seeds]."""
        return self.from_means(self.item_statistics(outputs, target).mean(axis=1))


def first_mean(means: Floats) -> Floats:
    """`from_means` of metrics that are means themselves."""
    return np.asarray(means[..., 0])


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator; 0 where the denominator is 0."""
    zeros = np.zeros_like(np.asarray(numerator, dtype=np.float64))
    return np.divide(numerator, denominator, out=zeros, where=denominator > 1e-12)
