"""`stages:` and `method:`: what is trained after what."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from limbeck.engine.training import Phase
from limbeck.recipe.schema.base import Spec, default_of, named_part
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.recipe.schema.models import ActorSpec
from limbeck.recipe.schema.terms import TermSpec
from limbeck.recipe.schema.training import OptimizerSpec


class StageSpec(Spec):
    """One of several stages."""

    name: str = default_of(Phase, "name")
    terms: list[TermSpec] = Field(min_length=1)
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    optimizer: OptimizerSpec | None = default_of(Phase, "optimizer")
    freeze: list[str] = Field(
        default_factory=lambda: list(default_of(Phase, "freeze")),
        description="submodules that are frozen from this stage on; '': the whole model",
    )
    unfreeze: list[str] = Field(
        default_factory=lambda: list(default_of(Phase, "unfreeze")),
        description="submodules that are trained again, at the full learning rate",
    )
    lr_scale: dict[str, float] = Field(
        default_factory=lambda: dict(default_of(Phase, "lr_scale")),
        description="submodules that are trained at this share of the learning rate from this stage on",
    )
    trains: str = Field(
        default_of(Phase, "trains"), description="which model the stage trains: the student, or one of the actors"
    )
    actors: dict[str, ActorSpec] = Field(
        default_factory=lambda: dict(default_of(Phase, "actors")), description="further models, from this stage on"
    )
    data: DatasetSpec | None = Field(default_of(Phase, "data"), description="other training data, such as texts without labels")

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage needs its length: epochs or steps, one of the two")
        return self


def _method(value: Any) -> Any:
    return None if value is None else named_part(value)


MethodField = Annotated[dict[str, dict[str, Any]] | None, BeforeValidator(_method)]
