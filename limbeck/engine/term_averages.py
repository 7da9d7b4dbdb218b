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


HELD = 64  # values of a name that are held before they are summed


class TermAverages:
    """The terms' values on the device; nothing is fetched from it until `means()` is called."""

    def __init__(self) -> None:
        self._held: dict[str, list[Tensor]] = {}
        self._updates: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Adds the values of an update, or of one batch of it that makes up a `share` of the update."""
        for name, value in values.items():
            held = self._held.setdefault(name, [])
            held.append(value.detach() if value.requires_grad else value)
            self._updates[name] = self._updates.get(name, 0.0) + share
            if len(held) >= HELD:
                self._held[name] = [_sum(held)]

    def means(self) -> dict[str, float]:
        """Returns the mean of each value over the updates since the last call, over all processes."""
        names = sorted(self._held)
        if not names:
            return {}
        sums = distributed.all_reduce_sum(torch.stack([_sum(self._held[name]) for name in names]))
        means = {name: float(total) / self._updates[name] for name, total in zip(names, sums.tolist(), strict=True)}
        self._held.clear()
        self._updates.clear()
        return means


def _sum(values: Sequence[Tensor]) -> Tensor:
    """In float64, except on MPS, which has none."""
    wide = torch.float32 if values[0].device.type == "mps" else torch.float64
    return torch.stack(list(values)).to(wide).sum()


def add_piece(
    values: dict[str, Tensor], losses: Mapping[str, Tensor], criterion: Criterion, progress: float, processes: int
) -> None:
    """Adds the values of one piece of a global batch, of which each of the processes has as many, to `values`.

    Every process computes a relation over the gathered batch in full, so it counts as one share of the processes' sum.
    """
    shares = {name: value.detach() for name, value in losses.items()}
    for term in criterion.terms if processes > 1 else ():
        if term.objective.over_batch and term.name in shares:
            shares[term.name] = shares[term.name] / processes
    if processes > 1 and criterion.balance is None:
        weighted = [term.weight(progress) * shares[term.name] for term in criterion.terms if term.name in shares]  # type: ignore[operator]
        shares["loss"] = sum(weighted[1:], weighted[0])
    for name, share in shares.items():
        values[name] = values[name] + share if name in values else share


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
