"""Statistics of the weights of items over an interval; they stay on the device until they are read."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class WeightStatistics:
    """Number, sum and sum of squares of weights, by name."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, weights: Tensor) -> None:
        """Adds the weights of a batch."""
        values = weights.detach().double()
        sums = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()])
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def read(self) -> dict[str, Tensor]:
        """Returns the three sums by name, and starts anew."""
        sums, self._sums = self._sums, {}
        return sums


def mean_and_spread(sums: Tensor) -> dict[str, float]:
    """Mean and standard deviation of weights, from their number, sum and sum of squares."""
    number, total, squares = sums.tolist()
    mean = total / max(number, 1)
    return {"mean": mean, "spread": math.sqrt(max(squares / max(number, 1) - mean**2, 0.0))}
