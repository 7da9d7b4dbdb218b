"""Predictions of a task's own type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics import Floats, Measure, Records
from limbeck.tasks.text_predictions import TextPredictions


class TaskPredictions(ABC):
    """The predictions of one arm, of all its seeds, if they are neither one class nor one number for each item.

    A task returns them from `to_predictions` as `{"own": …}` and names the type as its `predictions_type`.

    Attributes:
        task: the name of the task, by which saved predictions find this type.
    """

    task: ClassVar[str]

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What is saved, by name."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The predictions that were saved."""

    @abstractmethod
    def item_statistics(self, metric: Measure) -> Floats | Records:
        """What the metric reads of each item: its `item_statistics`, [seeds, items, k], if it is a function of means; otherwise
        its records."""

    @abstractmethod
    def quality(self) -> Floats:
        """How good each prediction is, [seeds, items]; 1: correct."""

    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is correct, [seeds, items]."""
        return np.asarray(self.quality() >= 1)

    def shown(self) -> TextPredictions | None:
        """The predictions as text, for the examples of the report; None: there are none."""
        return None

    def per_class(self) -> list[float | None] | None:
        """The task's `class_measure` of each class over all seeds; None if there are no classes."""
        return None

    def agreement(self, other: TaskPredictions) -> float | None:
        """The share of predictions on which two arms agree; None if they cannot be compared."""
        return None
