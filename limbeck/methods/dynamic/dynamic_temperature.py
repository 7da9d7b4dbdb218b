"""A temperature for each item, or one that changes over the training."""

from __future__ import annotations

from typing import Literal

from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("dynamic_temperature")
def dynamic_temperature(
    *,
    task: Task | None = None,
    by: Literal["item", "time"] = "item",
    low: float = 1.0,
    high: float = 6.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(teacher ‖ student) with a T that varies.

    `item`: T = low + (high − low)·(1 − H(p_t)/log C), so that outputs that the teacher is certain of are softened more.
    `time`: from `high` to `low` over the training, from smooth targets to sharp ones.

    Args:
        low, high: the range of T.
        alpha: weight of the teacher.

    Raises:
        ValueError: an argument out of range.
    """
    check_alpha("dynamic_temperature", alpha)
    if by not in ("item", "time"):
        raise ValueError(f"dynamic_temperature: by is {by!r}; expected 'item' or 'time'")
    if not (low > 0 and high > 0):
        raise ValueError(f"dynamic_temperature: low is {low} and high {high}; expected temperatures above 0")
    kinds = {"item": {"by_confidence": {"low": low, "high": high}}, "time": {"linear": {"start": high, "end": low}}}
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, kinds[by], alpha)]}
