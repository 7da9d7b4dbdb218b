"""Whether teachers with class sets of their own make the classes of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.data.class_names import numbers_of, positions_in
from limbeck.experiment.plan import TEACHER, Plan
from limbeck.experiment.plan_checks import matching_actors, updates_of


def check_merged_classes(plan: Plan, data: Sequence[Items | None]) -> None:
    """Refuses ensembles whose class sets merge into classes in another order than that of the labels, or with others.

    Names of which the data has none may be other words for its classes, and are taken as they are.

    Args:
        data: training, validation and test data; the first with classes is compared.

    Raises:
        ValueError: the message has both sides and the remedy.
    """
    _check_compared(plan)
    items = next((each for each in data if each is not None and each.has_classes), None)
    if items is None:
        return
    for field, teacher in _ensembles(plan):
        merged = [] if teacher.classes is None else teacher.classes.merged
        names = items.class_names or [str(number) for number in range(items.classes or 0)]
        places = positions_in(merged, names) if items.class_names or numbers_of(merged) is not None else []
        if all(place is None for place in places) or places == list(range(len(places))):
            continue
        unknown = [name for name, place in zip(merged, places, strict=True) if place is None]
        reason = f"{unknown[0]!r} is none of these" if unknown else "labels would mean other classes than the student's outputs"
        raise ValueError(
            f"{field}: the classes of the teachers together are {_shown(merged)}, and those of the data {_shown(names)}: "
            f"{reason}; use the names of the data, and give the student's in their order: "
            f"classes: {{student: [{_shown(names)}], …}}"
        )


def _check_compared(plan: Plan) -> None:
    """The ensemble that the verdict compares with merges its members as the terms do."""
    if not isinstance(plan.teacher, Ensemble) or plan.teacher.classes is not None:
        return
    compared = set(matching_actors("evaluate.teacher", plan.teacher.references, TEACHER, plan.actors))
    for field, teacher in _ensembles(plan):
        if teacher.classes is None or len({tuple(names) for names in teacher.classes.sets}) == 1:
            continue
        both = compared.intersection(matching_actors(field, teacher.references, TEACHER, plan.actors))
        if both:
            raise ValueError(
                f"evaluate.teacher: it combines {', '.join(sorted(both))} class by class, and {field} merges their class sets "
                "by names; give evaluate.teacher the same classes: {teacher: {ensemble: {of: …, classes: {…}}}}"
            )


def _ensembles(plan: Plan) -> Iterator[tuple[str, Ensemble]]:
    """The ensembles that teach or are results, each with its field."""
    found: list[tuple[str, Any]] = [
        (f"{field}terms.{number}.teacher", term.teacher)
        for place, stage in enumerate(plan.stages)
        for field, update in updates_of(plan, place, stage)
        for number, term in enumerate(update.terms)
    ]
    found += [(f"evaluate.{name}", evaluated) for name, evaluated in (*plan.evaluate.items(), (TEACHER, plan.teacher))]
    return ((field, teacher) for field, teacher in found if isinstance(teacher, Ensemble))


def _shown(names: Sequence[str], most: int = 12) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
