"""Objectives on predicted numbers: student [batch, 1] or [batch], labels [batch]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry
from limbeck.core.signals import tensors_of
from limbeck.core.value_checks import is_finite


@registry.register("squared_error")
class SquaredError(Objective):
    """Squared difference from the labels, which are numbers.

    Student [B, 1] or [B] with labels [B] of floating point. An item labelled NaN gives exactly 0.

    Raises:
        ValueError: labels missing, of another shape, or class indices.

    Source: the definition.
    """

    name = "squared_error"
    knowledge: ClassVar[Knowledge] = "output"
    formula = "(s − y)²"
    source = "mean squared error"
    ndims: ClassVar[tuple[int, ...]] = (1, 2)
    needs_teacher = False
    needs_target = True
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "it ignores the teacher")

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        predicted = student.reshape(len(student))
        if not (target.is_cpu and is_finite(target, None)):  # elsewhere to look would wait for the device
            target = torch.where(target.isfinite(), target, predicted.detach())
        return F.mse_loss(predicted, target.to(student.dtype), reduction="none")

    def _check_target(self, student: Any, target: Tensor) -> None:
        shape = tensors_of(student)[0].shape
        if len(shape) == 2 and shape[1] != 1:
            raise ValueError(f"{self.name}: the student outputs {tuple(shape)}; one number for each item is needed: [batch, 1]")
        if not target.is_floating_point() or target.shape != shape[:1]:
            what = f"{str(target.dtype).removeprefix('torch.')} {tuple(target.shape)}"
            raise ValueError(f"{self.name}: the labels are {what}; numbers of floating point, [{shape[0]}], are needed")
