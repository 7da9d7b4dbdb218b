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
        """Raises `NonFiniteError` if a value of any update so far was not finite."""
        for name, update in self._failed_at.items():
            if int(update) >= 0:
                raise _not_finite(name, int(update))


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
