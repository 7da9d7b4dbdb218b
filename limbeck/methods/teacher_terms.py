"""The terms on labels and on the outputs of a teacher that many methods are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from limbeck.core.schedules import Schedule
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term
from limbeck.core.weighers import Weigher
from limbeck.tasks import Classification, Task

ItemWeight = str | Mapping[str, Any] | Weigher | None


def label_terms(task: Task | None, weight: float | Schedule, *, item_weight: ItemWeight = None) -> list[Term]:
    """Returns the task's terms on the labels, for the student; none if the weight is 0.

    Raises:
        ValueError: the weight is negative.
    """
    made = [] if weight == 0 else (task or Classification()).hard_terms()  # a task may not know its classes yet
    return _weighted("labels", made, weight, item_weight)


def soft_terms(
    task: Task | None,
    temperature: float | Mapping[str, Any],
    weight: float | Schedule,
    *,
    teacher: str | Teacher | None = None,
    item_weight: ItemWeight = None,
) -> list[Term]:
    """Returns the task's terms on the outputs of a teacher, for the student; none if the weight is 0.

    Args:
        temperature: a number, or a schedule or weigher of it in recipe form.
        teacher: a reference, a pattern, or a `Teacher`; None: the actor `teacher`.

    Raises:
        ValueError: the weight is negative.
    """
    constant = 1.0 if isinstance(temperature, Mapping) else temperature
    terms = (task or Classification()).soft_terms(constant)
    varies = temperature if isinstance(temperature, Mapping) else None
    named = [replace(term, teacher=teacher if teacher is not None else term.teacher, temperature=varies) for term in terms]
    return _weighted("soft", named, weight, item_weight)


def _weighted(field: str, terms: list[Term], weight: float | Schedule, item_weight: ItemWeight) -> list[Term]:
    if isinstance(weight, int | float) and weight < 0:
        raise ValueError(f"{field} is {weight:g}; expected a weight of 0 or more")
    if weight == 0:
        return []
    return [replace(term, weight=weight, item_weight=item_weight) for term in terms]


def require_teacher(method: str, field: str, weight: float) -> None:
    """Raises a `ValueError` unless the weight of the teachers is above 0."""
    if not weight > 0:
        raise ValueError(f"{method}: {field} is {weight}; expected a weight above 0, without which no teacher teaches")


def check_alpha(method: str, alpha: float) -> float:
    """Returns `alpha`, the weight of the teachers; the labels have 1 − alpha.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"{method}: alpha is {alpha}; expected a number above 0 and at most 1 (1: the labels are not used)")
    return alpha
