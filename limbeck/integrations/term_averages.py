"""The values of terms between two lines of a log."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limbeck.utils import distributed


class Tally:
    """Sums on the device, so that no step waits for the log.

    The batches of one update add up to its value: each counts as a share of an update.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._updates: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor], share: float) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()
            self._updates[name] = self._updates.get(name, 0.0) + share

    def means(self) -> dict[str, float]:
        """The mean of each value over the updates since the last call; processes add up to one value."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = distributed.all_reduce_sum(torch.stack([self._sums[name].float() for name in names])).tolist()
        found = {name: total / self._updates[name] for name, total in zip(names, sums, strict=True)}
        self._sums.clear()
        self._updates.clear()
        return found
