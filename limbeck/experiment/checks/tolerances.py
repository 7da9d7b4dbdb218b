"""Checks early exits whose thresholds are chosen on validation data."""

from __future__ import annotations

from torch import Tensor

from limbeck.core.teachers import EarlyExit
from limbeck.data import Items
from limbeck.experiment.plan import Plan


def check_tolerances(plan: Plan, validation: Items | None) -> None:
    """Raises a ValueError if the thresholds of an early exit are to be chosen, and there is nothing to choose them on."""
    for result, evaluated in plan.evaluate.items():
        if not isinstance(evaluated, EarlyExit) or evaluated.tolerance is None:
            continue
        tolerance = (
            f"evaluate.{result}: tolerance is {evaluated.tolerance}, and thresholds within it are chosen on validation data"
        )
        if validation is None:
            raise ValueError(f"{tolerance}, which this run lacks; set data: {{validation: 0.1}}, or give a threshold instead")
        labels = validation.target
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
            raise ValueError(f"{tolerance} by the share of right classes, and its labels are none; give a threshold instead")
