"""The base of all metrics: what a model is judged by over any set of items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
ItemRecords: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Records:
    """What a metric reads of each item, for several seeds.

    Attributes:
        arrays: by name, [seeds, items, …]; [1, items, …] for what all seeds share, such as labels. Lists of different lengths
            (the boxes of an image) are padded to one length, with their number in an array of its own.

    Raises:
        ValueError: no arrays; numbers of seeds or of items that differ.
    """

    arrays: ItemRecords

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", {name: np.asarray(array) for name, array in self.arrays.items()})
        shapes = {name: array.shape for name, array in self.arrays.items()}
        counts = {shape[1] for shape in shapes.values() if len(shape) >= 2}
        if not shapes or len(counts) != 1 or any(shape[:1] not in ((1,), (self.seeds,)) for shape in shapes.values()):
            raise ValueError(f"records of shapes {shapes}; expected [seeds, items, …] for each, with the same items")

    @property
    def seeds(self) -> int:
        return max(len(array) for array in self.arrays.values() if array.ndim)

    @property
    def shape(self) -> tuple[int, int]:
        """Seeds and items."""
        return self.seeds, next(iter(self.arrays.values())).shape[1]

    def of_seed(self, seed: int) -> ItemRecords:
        """The records of one seed, arrays [items, …]."""
        return {name: array[min(seed, len(array) - 1)] for name, array in self.arrays.items()}


class Measure(ABC):
    """A metric of a set of items, computed from what is recorded of each.

    A mean over items, a correlation or the perplexity of a corpus are functions of means: see `Metric`, which is resampled
    fastest. All others, such as the mean average precision, which sorts the items of a set, implement `records` and `over`:

        class Largest(Measure):
            name = "largest"

            def records(self, outputs, target):
                return Records({"error": np.abs(outputs[..., 0] - target)})

            def over(self, records, rows):
                return records["error"][rows].max()

    Attributes:
        name: as recipes and verdicts write it.
        higher_is_better: whether a higher value is better.
        percent: whether it is a fraction that is shown as a percentage.
        share: whether it is the share of the items that are right, whose interval is not empty if all are. Others can be 1 by
            definition, as a teacher's overlap with itself.
    """

    name: str
    higher_is_better: bool = True
    percent: bool = True
    share: bool = False

    @abstractmethod
    def records(self, outputs: NDArray[Any], target: NDArray[Any]) -> Records:
        """What is recorded of each item.

        Args:
            outputs: [seeds, items, …].
            target: [items, …].
        """

    @abstractmethod
    def over(self, records: ItemRecords, rows: Rows) -> float:
        """The metric of a set of items.

        Args:
            records: of all items and one seed, arrays [items, …].
            rows: the items of the set; one that is drawn several times counts as often.
        """

    def over_draws(self, records: ItemRecords, draws: Rows) -> Floats:
        """The metric of several sets, `draws` [sets, items of each] → [sets]. Override it if they can be computed together."""
        return np.array([self.over(records, rows) for rows in draws], dtype=np.float64)

    def undefined(self, target: NDArray[Any], classes: int | None) -> str | None:
        """Why these labels, of which there is at least one, leave the metric undefined; None if they do not.

        Args:
            target: [items, …].
            classes: how many the models know; None if labels are not classes.
        """
        return None

    def compute(self, outputs: NDArray[Any], target: NDArray[Any]) -> Floats:
        """The metric of each seed over all items, [seeds]."""
        return per_seed_over_all(self, self.records(outputs, target))


def per_seed_over_all(measure: Measure, records: Records) -> Floats:
    """The metric of each seed over all items, [seeds]."""
    seeds, items = records.shape
    return np.array([measure.over(records.of_seed(seed), np.arange(items)) for seed in range(seeds)], dtype=np.float64)


def draw_counts(draws: Rows, items: int) -> Rows:
    """How often each item is in each set: [sets, items of each] → [sets, items]."""
    sets = len(draws)
    offset = np.arange(sets)[:, None] * items
    return np.bincount((draws + offset).ravel(), minlength=sets * items).reshape(sets, items)
