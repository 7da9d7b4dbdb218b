"""`stages:`, `updates:` and `method:`: what is trained after what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from limbeck.core.balance import balance
from limbeck.engine import Reinitialise, Snapshot, Stage, Update
from limbeck.engine.stages import Event, entry_events
from limbeck.recipe.schema.base import NamedPart, Spec, check_buildable, default_of, named_part
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.recipe.schema.models import ActorSpec
from limbeck.recipe.schema.terms import TermSpec, build_terms
from limbeck.recipe.schema.training import OptimizerSpec, length


class UpdateSpec(Spec):
    """One change of weights: terms, whom they train, on which inputs."""

    terms: list[TermSpec] = Field(min_length=1)
    trains: str | list[str] = Field(
        default_of(Update, "trains"), min_length=1, description="the actors that it changes, by name or pattern: peers.*"
    )
    source: str | None = Field(
        default_of(Update, "source"), description="one of sources:, where inputs come from; none: the training data"
    )
    every: int = Field(default_of(Update, "every"), gt=0, description="it takes part in every n-th step only")
    repeat: int = Field(default_of(Update, "repeat"), gt=0, description="how often it is done in a step")
    fresh: bool = Field(default_of(Update, "fresh"), description="whether every repetition draws a new batch")
    optimizer: OptimizerSpec | None = Field(None, description="none: the stage's")
    balance: NamedPart | None = Field(
        None, description="factors of the terms' weights that follow the training: uncertainty, gradient_norm; none: constant"
    )

    @field_validator("balance")
    @classmethod
    def _check_balance(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            check_buildable(lambda: balance(value))
        return value

    @property
    def learners(self) -> list[str]:
        """The names and patterns in `trains`."""
        return [self.trains] if isinstance(self.trains, str) else self.trains

    def build(self, source: Any) -> Update:
        optimizer = self.optimizer.build() if self.optimizer else None
        terms = build_terms(self.terms)
        return Update(terms, self.trains, source, self.every, self.repeat, self.fresh, optimizer, self.balance)


class StageSpec(Spec):
    """One of several stages: terms for the student, or any updates."""

    name: str = default_of(Stage, "name")
    terms: list[TermSpec] = Field(default_factory=list)
    updates: list[UpdateSpec] = Field(default_factory=list, description="instead of terms: what a step consists of, in order")
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    optimizer: OptimizerSpec | None = default_of(Stage, "optimizer")
    freeze: list[str] = Field(
        default_factory=list, description="submodules that are frozen from this stage on; '': the whole model"
    )
    unfreeze: list[str] = Field(
        default_factory=list, description="submodules that are trained again, at the full learning rate"
    )
    lr_scale: dict[str, float] = Field(
        default_factory=dict,
        description="submodules that are trained at this share of the learning rate from this stage on",
    )
    trains: str = Field(
        "student", description="of terms, freeze, unfreeze and lr_scale: which model it is, the student or one of the actors"
    )
    source: str | None = Field(None, description="of terms: one of sources:; none: the training data")
    balance: NamedPart | None = Field(None, description="of terms: as of an update")
    snapshot: list[str] = Field(default_factory=list, description="actors that copy their original when the stage begins")
    reinitialise: list[str] = Field(default_factory=list, description="actors that get new weights when the stage begins")
    actors: dict[str, ActorSpec] = Field(default_factory=dict, description="further models, from this stage on")
    data: DatasetSpec | None = Field(None, description="other training data, such as texts without labels")

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage needs its length: epochs or steps, one of the two")
        return self

    @model_validator(mode="after")
    def _check_updates(self) -> Self:
        if bool(self.terms) == bool(self.updates):
            raise ValueError("a stage needs terms: (for the student) or updates:, one of the two")
        if self.data is not None and self.source is not None:
            raise ValueError(f"source: is {self.source!r} and data: {self.data.path!r}; give one of the two")
        if self.updates and self.source is not None:
            raise ValueError(f"source: {self.source!r} belongs into the updates of this stage")
        if self.updates and self.balance is not None:
            raise ValueError("balance: belongs into the updates of this stage")
        return self

    def _single_update(self) -> UpdateSpec:
        return UpdateSpec.model_construct(terms=self.terms, trains=self.trains, source=self.source, balance=self.balance)

    def build(self, sources: Mapping[str, Any], data: Any, actors: Mapping[str, Any]) -> Stage:
        """Returns the stage.

        Args:
            sources: by name.
            data: the items of `data`; None if the stage has none.
            actors: those of this stage, by name.
        """
        specs = self.updates or [self._single_update()]
        updates = [spec.build(data if spec.source is None else sources[spec.source]) for spec in specs]
        optimizer = self.optimizer.build() if self.optimizer else None
        events = entry_events(self.trains, freeze=self.freeze, unfreeze=self.unfreeze, lr_scale=self.lr_scale)
        entry: list[Event] = [*map(Snapshot, self.snapshot), *map(Reinitialise, self.reinitialise), *events]
        return Stage(updates, length(self.epochs, self.steps), optimizer, on_enter=entry, name=self.name, actors=actors)


def _method(value: Any) -> Any:
    return None if value is None else named_part(value)


MethodField = Annotated[dict[str, dict[str, Any]] | None, BeforeValidator(_method)]
