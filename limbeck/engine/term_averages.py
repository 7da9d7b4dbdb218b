"""Values of the terms of a loss: summed on the device, averaged over an interval, checked for NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from limbeck.core.criterion import Criterion
from limbeck.engine.checks import NonFiniteError
from limbeck.utils import distributed


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


class FiniteCheck:
    """Notes the first update at which a value became NaN or infinite.

    On a CPU the run stops at that update. On an accelerator the values stay on the device until `raise_if_not_finite`.
    """

    def __init__(self) -> None:
        self._failed_at: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor], update: int) -> None:
        """Raises `NonFiniteError` if a value on the CPU is not finite."""
        for name, value in values.items():
            if value.device.type == "cpu":
                if not math.isfinite(value.item()):
                    raise _not_finite(name, update)
            else:
                before = self._failed_at.get(name, torch.full((), -1, device=value.device))
                here = torch.full_like(before, update)
                self._failed_at[name] = torch.where((before < 0) & ~torch.isfinite(value.detach()), here, before)

    def raise_if_not_finite(self) -> None:
        for name, update in self._failed_at.items():
            if int(update) >= 0:
                raise _not_finite(name, int(update))


def add_piece(values: dict[str, Tensor], losses: Mapping[str, Tensor], criterion: Criterion, progress: float) -> None:
    """Adds the values of one piece of a global batch to `values`.

    Every process computes a relation over the gathered batch in full, so it counts as one share of the processes' sum.
    """
    for term in criterion.terms:
        if term.name in losses:
            share = losses[term.name].detach() / (distributed.world_size() if term.objective.over_batch else 1)
            values[term.name] = values[term.name] + share if term.name in values else share
            total = term.weight(progress) * share  # type: ignore[operator]
            values["loss"] = values["loss"] + total if "loss" in values else total


def _not_finite(name: str, update: int) -> NonFiniteError:
    what = "the loss" if name == "loss" else f"term {name!r}"
    return NonFiniteError(
        f"{what} became NaN or infinite at step {update}; the last checkpoint was written before that and is complete. Try a "
        "smaller learning rate, gradient clipping (clip: 1.0) or precision: float32"
    )
