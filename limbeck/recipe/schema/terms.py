"""`terms:` objectives, what they compare, and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from limbeck import objectives
from limbeck.core.schedules import schedule
from limbeck.core.terms import Term
from limbeck.recipe.schema.base import Spec, check_buildable, default_of, named_part

WIRING = ("student", "teacher", "adapter", "weight", "item_weight", "name", "trains", "own")  # all else: of the objective


class TermSpec(Spec):
    """One term: an objective by name, its hyperparameters, and the two signals that it compares."""

    objective: str
    student: str | list[str] = default_of(Term, "student")
    teacher: str | list[str] | dict[str, Any] | None = default_of(Term, "teacher")
    adapter: str = default_of(Term, "adapter")
    weight: float | str | dict[str, Any] = default_of(Term, "weight")
    item_weight: str | dict[str, Any] | None = default_of(Term, "item_weight")
    name: str = default_of(Term, "name")
    trains: list[str] | None = default_of(Term, "trains")
    own: bool = default_of(Term, "own")
    hyperparameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "objective" in value:
            return value
        ((name, arguments),) = named_part(value).items()
        wiring = {key: arguments.pop(key) for key in WIRING if key in arguments}
        return {"objective": name, "hyperparameters": arguments, **wiring}

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        check_buildable(self.build)
        return self

    @property
    def compares_outputs(self) -> bool:
        """Whether the student's side is the output of a model, not one of its layers."""
        return isinstance(self.student, str) and ":" not in self.student and self.student == default_of(Term, "student")

    def build(self) -> Term:
        arguments = dict(self.hyperparameters)
        varies = isinstance(arguments.get("temperature"), str | Mapping)  # over time, or from item to item
        temperature = arguments.pop("temperature") if varies else None
        return Term(
            objectives.get(self.objective, **arguments),
            student=_taps(self.student),
            teacher=None if self.teacher is None else _taps(self.teacher),
            adapter=self.adapter,
            weight=schedule(self.weight),
            temperature=temperature,
            item_weight=self.item_weight,
            trains=self.trains,
            own=self.own,
            name=self.name,
        )


def terms_in(value: Any) -> Iterator[TermSpec]:
    """The terms anywhere in a section of a recipe."""
    if isinstance(value, TermSpec):
        yield value
    elif isinstance(value, BaseModel):
        yield from (term for name in type(value).model_fields for term in terms_in(getattr(value, name)))
    elif isinstance(value, Mapping):
        yield from (term for part in value.values() for term in terms_in(part))
    elif isinstance(value, list | tuple):
        yield from (term for part in value for term in terms_in(part))


def build_terms(specs: Sequence[TermSpec]) -> list[Term]:
    return [spec.build() for spec in specs]


def _taps(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
