"""Values of the terms of a loss: summed on the device, averaged over an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from limbeck.core.criterion import Criterion
from limbeck.utils import distributed

if TYPE_CHECKING:
    from limbeck.engine.binding import BoundUpdate


BY_CLASS = " by class"


class TermAverages:
    """Sums of the terms' values on the device; nothing is fetched from it until `means()` is called."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._updates: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Adds the values of an update, or of one batch of it that makes up a `share` of the update."""
        for name, value in values.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._updates[name] = self._updates.get(name, 0.0) + share

    def means(self) -> dict[str, float]:
        """Returns the mean of each value over the updates since the last call, over all processes."""
        names = sorted(self._sums)
        if not names:
            return {}
        on_mps = self._sums[names[0]].device.type == "mps"  # which has no float64
        wide = torch.float32 if on_mps else torch.float64
        sums = distributed.all_reduce_sum(torch.stack([self._sums[name].to(wide) for name in names]))
        means = {name: float(total) / self._updates[name] for name, total in zip(names, sums.tolist(), strict=True)}
        self._sums.clear()
        self._updates.clear()
        return means


def add_piece(values: dict[str, Tensor], losses: Mapping[str, Tensor], criterion: Criterion, progress: float) -> None:
    """Adds the values of one piece of a global batch to `values`.

    Every process computes a relation over the gathered batch in full, so it counts as one share of the processes' sum.
    """
    for term in criterion.terms:
        if term.name in losses:
            share = losses[term.name].detach() / (distributed.world_size() if term.objective.over_batch else 1)
            values[term.name] = values[term.name] + share if term.name in values else share
            if criterion.balance is None:
                total = term.weight(progress) * share  # type: ignore[operator]
                values["loss"] = values["loss"] + total if "loss" in values else total
    if criterion.balance is not None:
        total = losses["loss"].detach()
        values["loss"] = values["loss"] + total if "loss" in values else total


def read_weight_statistics(updates: Sequence[BoundUpdate]) -> dict[str, Tensor]:
    """Sums of the weights of items of a stage's updates since the last call, by name; those of one name are added.

    Sums in each class, where there are any, have `BY_CLASS` after the name.
    """
    total: dict[str, Tensor] = {}
    for update in updates:
        by_class = {f"{name}{BY_CLASS}": sums for name, sums in update.criterion.read_class_weights().items()}
        for name, sums in {**update.criterion.read_weight_statistics(), **by_class}.items():
            total[name] = total[name] + sums if name in total and total[name].shape == sums.shape else sums
    return total
