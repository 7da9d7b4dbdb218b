"""Checks that losses and weights stay finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

REMEDY = "Try a smaller learning rate, gradient clipping (clip: 1.0) or precision: float32"


class NonFiniteError(RuntimeError):
    """A loss or a weight became NaN or infinite."""


class FiniteCheck:
    """Notes the first update at which a value became NaN or infinite.

    On a CPU the run stops at that update. On an accelerator the values stay on the device until `raise_if_not_finite`.
    """

    def __init__(self) -> None:
        self._failed_at: dict[tuple[str, ...], Tensor] = {}  # updates, by the names of values that were given together

    def add(self, values: Mapping[str, Tensor], update: int) -> None:
        """Notes the values of an update.

        Args:
            values: of the terms, and `loss`, their weighted sum.

        Raises:
            NonFiniteError: a value on the CPU is not finite.
        """
        loss = values["loss"]
        if loss.is_cpu and math.isfinite(loss.item()):  # the sum of the others, so they are finite if it is
            return
        names = _terms_first(values)
        if loss.is_cpu:
            raise _not_finite(next(name for name in names if not math.isfinite(values[name].item())), update)
        failing = ~torch.isfinite(torch.stack([values[name].detach() for name in names]))
        before = self._failed_at.get(names, torch.full_like(failing, -1, dtype=torch.int64))
        self._failed_at[names] = torch.where((before < 0) & failing, update, before)

    def raise_if_not_finite(self) -> None:
        """Raises `NonFiniteError` if a value of any update so far was not finite."""
        for names, updates in self._failed_at.items():
            for name, update in zip(names, updates.tolist(), strict=True):
                if update >= 0:
                    raise _not_finite(name, update)


def _terms_first(values: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of values; `loss`, which is the sum of the others, last."""
    return tuple(sorted(values, key=lambda name: name == "loss"))


def _not_finite(name: str, update: int) -> NonFiniteError:
    what = "the loss" if name == "loss" else f"term {name!r}"
    return NonFiniteError(
        f"{what} became NaN or infinite at step {update}; the last checkpoint was written before that and is complete. {REMEDY}"
    )


def check_weights(models: Mapping[str, Mapping[str, Tensor]], update: int) -> None:
    """Raises `NonFiniteError` if a weight is NaN: a finite loss can have a NaN gradient, which the next loss would show.

    Args:
        models: state dicts by actor.
        update: number of updates so far.
    """
    for name, tensors in models.items():
        for key, tensor in tensors.items():
            if tensor.is_floating_point() and bool(tensor.isnan().any()):
                raise NonFiniteError(
                    f"{key} of the {name} holds NaN at step {update}, so no checkpoint is written; the last one is complete. "
                    f"{REMEDY}"
                )
