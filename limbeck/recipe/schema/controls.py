"""`controls:` further controls, each a partial recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from limbeck.recipe.plan_builder import PlanBuilder
from limbeck.recipe.schema.base import NamedPart, Spec
from limbeck.recipe.schema.models import ActorSpec
from limbeck.recipe.schema.stages import StageSpec
from limbeck.recipe.schema.terms import TermSpec, build_terms
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.recipe.source_reader import SourceReader
from limbeck.utils.registry import nearest_names

if TYPE_CHECKING:
    from limbeck.recipe.recipe import Recipe


class ControlSpec(Spec):
    """What a control has in place of what the recipe has. It learns without a teacher."""

    terms: list[TermSpec] = Field(default_factory=list, description="in place of those of all stages")
    stages: list[StageSpec] = Field(default_factory=list, description="in place of the recipe's")
    sources: dict[str, NamedPart] = Field(default_factory=dict, description="in place of sources of these names")
    actors: dict[str, ActorSpec] = Field(default_factory=dict, description="in place of actors of these names")
    training: TrainingSpec | None = Field(
        None, description="in place of the recipe's; its epochs or steps count for recipes with terms:"
    )
    equal: Literal["steps", "compute"] = Field(
        "steps", description="train for as many steps as what is distilled, or for as many operations"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.terms and self.stages:
            raise ValueError("give terms: or stages:, one of the two")
        if not (self.terms or self.stages or self.sources or self.actors or self.training):
            raise ValueError("a control needs what differs from the recipe: terms:, stages:, sources:, actors: or training:")
        return self

    def check_sources(self, name: str, known: list[str]) -> None:
        """Refuses a source that the recipe does not have: it would replace nothing. A control with stages may add some.

        Args:
            name: of the control.
            known: names of the sources of the recipe.
        """
        for source in self.sources if not self.stages else ():
            if source not in known:
                offer = ", ".join(nearest_names(source, known)) or "none; the recipe has no sources"
                raise ValueError(f"controls.{name}.sources: the recipe has no source {source!r}; nearest: {offer}")

    def plan_builder(self, recipe: Recipe) -> PlanBuilder:
        """Returns the builder of the plan with the changes of this control."""
        return PlanBuilder(
            [] if self.stages else recipe.terms or self.terms,
            self.stages or recipe.stages,
            {**recipe.sources, **self.sources},
            {**recipe.actors, **self.actors},
            (self.training or recipe.training).build(),
            method=None if self.stages else recipe.method_arguments,
        )

    def changes(self, recipe: Recipe, build: Callable[[ActorSpec], Callable[..., nn.Module]]) -> dict[str, Any]:
        """Returns the arguments of `Distillation` in which the control differs.

        Args:
            build: returns the builder of a model.
        """
        builder = self.plan_builder(recipe)
        found: dict[str, Any] = {"equal": self.equal}
        if self.training is not None:
            found["training"] = self.training.build()
        if self.actors:
            found["actors"] = builder.actors(build)
        if self.terms:
            found["terms"] = build_terms(self.terms)
        elif self.stages or self.sources:
            for source in builder.sources.values():
                source.load(SourceReader(recipe.reader))
            if self.stages:
                found["stages"] = builder.stages(build, recipe.items)
            else:
                found["source"] = {given: builder.sources[name] for name, given in recipe.plan_builder.sources.items()}
        return found
