"""The plan of a recipe: its actors, stages, sources and results, as arguments of `Distillation`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from torch import nn

from limbeck.core.actors import Actor
from limbeck.core.source import Source, named_sources
from limbeck.engine import Stage, Update
from limbeck.engine.training import Training
from limbeck.experiment.plan import STUDENT, Plan, make_plan
from limbeck.experiment.plan_checks import check_control, check_plan, frozen_teachers
from limbeck.methods import DistillationArguments
from limbeck.recipe.schema.models import ActorSpec
from limbeck.recipe.schema.stages import StageSpec
from limbeck.recipe.schema.terms import TermSpec, build_terms
from limbeck.recipe.source_reader import check_source_data
from limbeck.utils.registry import nearest_names


def unbuilt(*_: Any) -> NoReturn:
    """Stands for a model whose name is checked before it is built."""
    raise AssertionError("a model is used before it is built")


class PlanBuilder:
    """Builds the plan of one recipe.

    Args:
        terms, stages, sources, actors: of the recipe.
        training: of a recipe with terms only: the length of its one stage.
        method: what a published method decides, in place of terms and stages; its actors are added.
    """

    def __init__(
        self,
        terms: Sequence[TermSpec],
        stages: Sequence[StageSpec],
        sources: Mapping[str, Any],
        actors: Mapping[str, ActorSpec],
        training: Training,
        method: DistillationArguments | None = None,
    ) -> None:
        self.terms, self.specs, self.actor_specs, self.training = terms, list(stages), actors, training
        self.sources: dict[str, Source] = named_sources(sources)
        check_source_data(self.sources)
        self.method: DistillationArguments = method or {}

    def learns(self, name: str) -> bool:
        """Whether an update trains the actor of this name."""
        if made := self.method.get("stages"):
            return any(fnmatchcase(name, pattern) for stage in made for update in stage.updates for pattern in update.trains)
        if not self.specs:
            return name == STUDENT
        patterns = [one for stage in self.specs for update in stage.updates for one in update.learners]
        patterns += [stage.trains for stage in self.specs if stage.terms]
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    def actors(self, build: Callable[[ActorSpec], Callable[..., nn.Module]]) -> dict[str, Actor]:
        """Returns the actors of the recipe.

        Args:
            build: returns the builder of a model.
        """
        own = {name: spec.actor(build(spec), learns=self.learns(name)) for name, spec in self.actor_specs.items()}
        return {**self.method.get("actors", {}), **own}

    def stages(self, build: Callable[[ActorSpec], Callable[..., nn.Module]], items: Callable[[Any], Any]) -> list[Stage]:
        """Returns the stages of the recipe; one for a recipe with terms only.

        Args:
            items: loads the data of a stage.
        """
        if made := self.method.get("stages"):
            return [self._with_named_sources(stage) for stage in made]
        if not self.specs:
            terms = build_terms(self.terms) or self.method.get("terms", [])
            return [Stage([Update(terms)], self.training.length)]
        found = []
        for place, spec in enumerate(self.specs):
            self._check_sources(place, spec)
            own = {name: actor.actor(build(actor), learns=self.learns(name)) for name, actor in spec.actors.items()}
            found.append(spec.build(self.sources, None if spec.data is None else items(spec.data), own))
        return found

    def _with_named_sources(self, stage: Stage) -> Stage:
        """A stage of a method names sources of the recipe."""
        return replace(stage, updates=[replace(one, source=self._source_of(one.source)) for one in stage.updates])

    def _source_of(self, source: Any) -> Any:
        if not isinstance(source, str):
            return source
        if source not in self.sources:
            offer = ", ".join(nearest_names(source, list(self.sources))) or "none; sources: names none"
            raise ValueError(f"method: it reads the source {source!r}, which the recipe does not name; nearest: {offer}")
        return self.sources[source]

    def _check_sources(self, place: int, spec: StageSpec) -> None:
        named = [(f"stages.{place}.source", spec.source)]
        named += [(f"stages.{place}.updates.{number}.source", update.source) for number, update in enumerate(spec.updates)]
        for field, name in named:
            if name is not None and name not in self.sources:
                offer = ", ".join(nearest_names(name, list(self.sources))) or "none; sources: names none"
                raise ValueError(f"{field}: there is no source {name!r}; nearest: {offer}")

    def check(
        self,
        evaluate: Mapping[str, Any] | None,
        *,
        student: bool,
        teacher: bool,
        data: bool,
        control: str | None = None,
        replaced: Sequence[TermSpec] = (),
    ) -> Plan:
        """Checks names, roles, patterns and lengths before anything is loaded. Returns the plan, without models.

        Args:
            student, teacher: whether the recipe has them.
            data: whether it has training data.
            control: the name of the further control that the plan is of, if it has terms or stages of its own.
            replaced: its terms in place of those of all stages.

        Raises:
            ValueError: see `limbeck.experiment.plan_checks.check_plan`.
        """
        plan = make_plan(
            unbuilt if student else None,
            unbuilt if teacher else None,
            actors=self.actors(lambda _: unbuilt),
            stages=self.stages(lambda _: unbuilt, lambda spec: spec),
            evaluate=evaluate,
            training=self.training,
        )
        if replaced:
            plan = replace(plan, replaced_terms=build_terms(replaced))
        check_plan(plan, data=data)
        if control is None:
            self._warn_of_random_teachers(plan)
        else:
            check_control(control, plan)
        return plan

    def _warn_of_random_teachers(self, plan: Plan) -> None:
        """Warns of actors that teach with the weights that they were drawn with."""
        teachers = dict.fromkeys(name for term in plan.terms for name in frozen_teachers(term, plan.actors))
        for name in teachers:
            if name in self.actor_specs and self.actor_specs[name].stays_random:
                warnings.warn(
                    f"actors.{name}: a term learns from it, and it has random weights, because no update trains it, and it has "
                    "neither weights: nor training:; name it in trains: of an update (or among those of the method), or give "
                    "it one of the two",
                    stacklevel=2,
                )
