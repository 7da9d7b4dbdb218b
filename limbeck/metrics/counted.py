"""Metrics that are computed from how often each item is in a set."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats, ItemRecords, Measure, Rows, draw_counts


class CountedMeasure(Measure):
    """A metric of sets in which an item that was drawn three times is one item with the count 3.

    Items with the same records are then one with the sum of their counts, so that many sets are computed together: F1 and
    Matthews' correlation read the predicted and the true class of each item, of which there are few pairs.
    """

    @abstractmethod
    def over_counts(self, records: ItemRecords, counts: NDArray[np.floating[Any]]) -> Floats:
        """The metric of several sets: counts of each item in each set, [items, sets] → [sets]."""

    @abstractmethod
    def codes(self, records: ItemRecords) -> NDArray[np.int64]:
        """A number for each item, [items], that is the same for those with the same records."""

    def over(self, records: ItemRecords, rows: Rows) -> float:
        return float(self.over_draws(records, rows[None])[0])

    def over_draws(self, records: ItemRecords, draws: Rows) -> Floats:
        items = len(next(iter(records.values())))
        return self.over_counts(records, draw_counts(draws, items).T.astype(np.float64))
