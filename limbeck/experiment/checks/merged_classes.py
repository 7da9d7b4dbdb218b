"""Whether teachers with class sets of their own make the classes of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.data.class_names import numbers_of, positions_in
from limbeck.experiment.plan import Plan
from limbeck.experiment.plan_checks import updates_of


def check_merged_classes(plan: Plan, data: Sequence[Items | None]) -> None:
    """Refuses ensembles whose class sets merge into classes in another order than that of the labels, or with others.

    Names of which the data has none may be other words for its classes, and are taken as they are.

    Args:
        data: training, validation and test data; the first with classes is compared.

    Raises:
        ValueError: the message has both sides and the remedy.
    """
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


def _ensembles(plan: Plan) -> Iterator[tuple[str, Ensemble]]:
    """The ensembles that teach or are results, each with its field."""
    found: list[tuple[str, Any]] = [
        (f"{field}terms.{number}.teacher", term.teacher)
        for place, stage in enumerate(plan.stages)
        for field, update in updates_of(plan, place, stage)
        for number, term in enumerate(update.terms)
    ]
    found += [(f"evaluate.{name}", evaluated) for name, evaluated in plan.evaluate.items()]
    return ((field, teacher) for field, teacher in found if isinstance(teacher, Ensemble))


def _shown(names: Sequence[str], most: int = 12) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
