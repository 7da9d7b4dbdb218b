"""Terms in the form of a recipe, for parts that have terms of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from limbeck.core.objective import Objective, registry
from limbeck.core.terms import Term

PARSED = ("objective", "remedy", "students", "teachers", "further")  # fields of a term that no recipe gives


def term(value: Any) -> Term:
    """Converts the name of an objective, or `{name: {student: …, weight: …, and arguments of the objective}}`, to a term.

    Raises:
        ValueError: another form, an unknown objective, or arguments that it does not have.
    """
    if isinstance(value, Term):
        return value
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, Mapping) or len(value) != 1 or not isinstance(next(iter(value.values())), Mapping | None):
        raise ValueError(f"a term is one objective with arguments, such as {{one_hot: {{student: teacher}}}}; got {value!r}")
    ((name, given),) = value.items()
    arguments = dict(given or {})
    own = [field.name for field in fields(Term) if field.name not in PARSED]
    wiring = {field: arguments.pop(field) for field in own if field in arguments and field != "temperature"}
    if isinstance(arguments.get("temperature"), str | Mapping):  # over time, or from item to item
        wiring["temperature"] = arguments.pop("temperature")
    objective = cast(Objective, registry.get(name, **arguments))
    fitting: dict[str, Any] = {field: tuple(part) if isinstance(part, list) else part for field, part in wiring.items()}
    return Term(objective, **fitting)
