"""Statistics of the weights of items over an interval; they stay on the device until they are read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BALANCE = "balance"  # stands before the names of terms in the log, for the factors of their weights


class WeightStatistics:
    """Number, sum and sum of squares of weights, by name; number and sum in each class, where items have one label."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._by_class: dict[str, Tensor] = {}

    def add(self, name: str, weights: Tensor, labels: Tensor | None = None, classes: int = 0) -> None:
        """Adds the weights of a batch.

        Args:
            labels: the class of each item, `[batch]`; others than 0 to `classes` - 1 are left out.
        """
        values = weights.detach().double()
        sums = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()])
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        if labels is not None and values.shape == labels.shape:
            known = ((labels >= 0) & (labels < classes)).to(values.dtype)
            both = torch.stack([known, known * values])
            found = both.new_zeros(2, classes).index_add_(1, labels.clamp(0, classes - 1), both)
            self._by_class[name] = self._by_class[name] + found if name in self._by_class else found

    def read(self) -> dict[str, Tensor]:
        """Returns the three sums by name, and starts anew."""
        sums, self._sums = self._sums, {}
        return sums

    def read_by_class(self) -> dict[str, Tensor]:
        """Returns number and sum of the weights in each class, `[2, classes]`, by name, and starts anew."""
        sums, self._by_class = self._by_class, {}
        return sums


def mean_and_spread(sums: Tensor) -> dict[str, float]:
    """Mean and standard deviation of weights, from their number, sum and sum of squares."""
    number, total, squares = sums.tolist()
    mean = total / max(number, 1)
    return {"mean": mean, "spread": math.sqrt(max(squares / max(number, 1) - mean**2, 0.0))}


def means_of_classes(sums: Tensor) -> dict[str, float]:
    """The mean weight in each class that had items, by the number of the class, from `[2, classes]`."""
    return {str(at): total / number for at, (number, total) in enumerate(sums.T.tolist()) if number}
