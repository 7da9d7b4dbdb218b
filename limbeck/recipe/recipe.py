"""A recipe: one distillation from data to verdict."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

from pydantic import Field, model_validator
from torch import nn

from limbeck import methods
from limbeck.data import Items
from limbeck.engine import Stage
from limbeck.evaluation.targets import check_targets, split_target
from limbeck.experiment.distillation import Distillation
from limbeck.experiment.plan import Plan
from limbeck.experiment.plan_checks import check_training_data
from limbeck.experiment.plans import check_control_name
from limbeck.experiment.task_checks import check_task
from limbeck.models.from_teacher import FromTeacher, ModelOrBuilder
from limbeck.models.shrink import CorpusVocabulary
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.dataset_reader import data_sizes
from limbeck.recipe.method_call import MethodCall
from limbeck.recipe.plan_builder import PlanBuilder
from limbeck.recipe.schema.base import NamedPart
from limbeck.recipe.schema.controls import ControlSpec
from limbeck.recipe.schema.export import ExportSpec
from limbeck.recipe.schema.models import ActorSpec, ModelSpec, TeacherSpec
from limbeck.recipe.schema.stages import MethodField, StageSpec
from limbeck.recipe.schema.terms import TermSpec, build_terms
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.recipe.source_reader import SourceReader
from limbeck.utils.registry import UnknownNameError


class Recipe(BaseRecipe):
    """A distillation from data to verdict."""

    terms: list[TermSpec] = Field(default_factory=list)
    stages: list[StageSpec] = Field(default_factory=list, description="several stages or updates, instead of terms")
    method: MethodField = Field(
        None, description="a published method by name, such as {tinybert: {layers: 4}}: it makes student and stages"
    )
    actors: dict[str, ActorSpec] = Field(
        default_factory=dict, description="further models by name: peers, generators, assistants, teachers, averages, snapshots"
    )
    sources: dict[str, NamedPart] = Field(
        default_factory=dict, description="where updates get inputs, by a name of your choice: {noise: {generated: {…}}}"
    )
    evaluate: dict[str, str | NamedPart] | None = Field(
        None, description="what is evaluated, by the name of its result: {a: peers.a, both: {ensemble: {of: peers.*}}}"
    )
    control: bool = True
    controls: dict[str, ControlSpec] = Field(
        default_factory=dict, description="further controls by name, each with what differs: {smoothing: {terms: […]}}"
    )
    control_training: TrainingSpec | None = Field(
        None, description="of the control, if the student's settings would put it at a disadvantage"
    )
    targets: dict[str, float] = Field(default_factory=dict)
    export: ExportSpec | None = Field(None, description="write the student, or all results, as these files, and measure them")

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_kinds(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and "variants" in content:
            raise ValueError("it compares variants; carry it out with: limbeck compare RECIPE")
        if isinstance(content, Mapping) and "federated" in content:
            raise ValueError("it has clients; carry it out with: limbeck federate RECIPE")
        return content

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if sum(map(bool, (self.terms, self.stages, self.method is not None))) != 1:
            raise ValueError("give terms:, stages: or method:, one of the three")
        self.method_call.check()
        if not (self.student.named or self.actors or self.method_call.makes_student):
            raise ValueError("student: a model is needed: model: (by name) or from_teacher:")
        check_targets(self.targets)
        return self

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        if not self.method_call.is_late:
            self._check_results(self._check_builder(self.plan_builder).evaluate)
        for name, control in self.controls.items():
            control.check_sources(name, list(self.sources))
            check_control_name(name)
            if not self.method_call.is_late or control.terms or control.stages:
                own = name if control.terms or control.stages else None
                self._check_builder(control.plan_builder(self), own, control.terms)
        if self.data.train is None:
            replaced = [name for name, one in self.controls.items() if one.terms]
            replaced += [name for name, one in self.method_arguments.get("controls", {}).items() if "terms" in one]
            check_training_data(control=self.control, replaced=replaced)
        return self

    def _check_builder(self, builder: PlanBuilder, control: str | None = None, replaced: Sequence[TermSpec] = ()) -> Plan:
        plan = builder.check(
            self.results,
            student=self.student.named or self.method_call.makes_student,
            teacher=self.teacher is not None,
            data=self.data.train is not None,
            control=control,
            replaced=replaced,
        )
        check_task(plan, self.new_task())
        return plan

    def _check_results(self, evaluate: Mapping[str, Any]) -> None:
        """Checks the names of results in targets and exports; what a pattern in `evaluate` matches is not known yet."""
        patterns = [f"{name}." for name, of in evaluate.items() if isinstance(of, str) and "*" in of]

        def known(name: str) -> bool:
            return name.startswith(tuple(patterns)) or any(fnmatchcase(result, name) for result in evaluate)

        for name in self.export.results if self.export is not None else ():
            if not known(name):
                raise UnknownNameError("export.results: result", name, list(evaluate))
        found = [result for name in self.targets if (result := split_target(name)[0]).startswith(tuple(patterns))]
        check_targets(self.targets, [*evaluate, *found])

    @cached_property
    def method_call(self) -> MethodCall:
        """The call of the recipe's method."""
        return MethodCall(self)

    @property
    def method_arguments(self) -> methods.DistillationArguments:
        """What the method decides; nothing if there is none, or if it can only be called once models and data are loaded."""
        return self.method_call.arguments

    @property
    def results(self) -> dict[str, Any] | None:
        """What is evaluated, by the name of its result: as the recipe says, or else its method; None: neither does."""
        return self.evaluate or cast(dict[str, Any] | None, self.method_arguments.get("evaluate"))

    @property
    def originals(self) -> dict[str, str]:
        """The actors that averages and snapshots copy, by the name of the copy."""
        own = {name: spec.average or spec.snapshot for name, spec in self.actors.items()}
        made = {name: getattr(actor, "of", None) for name, actor in self.method_arguments.get("actors", {}).items()}
        return {name: original for name, original in {**made, **own}.items() if original}

    @property
    def actor_names(self) -> list[str]:
        """The names of all actors besides student and teacher."""
        return list(dict.fromkeys([*self.method_arguments.get("actors", {}), *self.actors]))

    @property
    def models(self) -> dict[str, ModelSpec]:
        """The models that the recipe describes, by their field or name."""
        found = {**super().models, **{name: spec for name, spec in self.actors.items() if spec.named}}
        if self.actors and not self.student.named and not self.method_call.makes_student:
            del found["student"]
        return found

    @property
    def pretrained(self) -> dict[str, TeacherSpec | ActorSpec]:
        """The frozen models by name that are built, and perhaps trained, before the students, by actor."""
        found: dict[str, TeacherSpec | ActorSpec] = {} if self.teacher is None else {"teacher": self.teacher}
        for name, spec in self.actors.items():
            if spec.model and (spec.pretrained or not self.plan_builder.learns(name)):
                found[name] = spec
        return found

    @cached_property
    def plan_builder(self) -> PlanBuilder:
        """Builds the actors, stages and sources of the recipe."""
        made = self.method_arguments
        return PlanBuilder(self.terms, self.stages, self.sources, self.actors, self.training.build(), method=made)

    def distillation(
        self,
        teacher: nn.Module | None,
        train: Items | None,
        *,
        like: Items | None = None,
        folder: Path | None = None,
        resume: bool = False,
    ) -> Distillation:
        """Returns the distillation that this recipe describes.

        Args:
            train: None if the recipe has no training data.
            like: items with the sizes of the data, if `train` is None.
        """
        known = train if train is not None else like
        if known is None:
            raise ValueError("give training data, or items of the same sizes (like=…)")
        student, stages = self._student_and_stages(teacher, train, known)
        if (vocabulary := self.reader.vocabulary) is not None:
            assert isinstance(student, FromTeacher)
            student = FromTeacher(functools.partial(_with_smaller_vocabulary, vocabulary, student))
        build = functools.partial(_builder, self.reader.reads, known)
        made = self.method_arguments
        terms = build_terms(self.terms) if self.terms else made.get("terms")
        for source in self.plan_builder.sources.values():
            source.load(SourceReader(self.reader))
        return Distillation(
            student,
            teacher,
            actors=self.plan_builder.actors(build),
            terms=terms,
            stages=None if terms else stages,  # the length of one update's stage is that of the training, of each control
            evaluate=self.results,
            training=self.training.build(),
            control=self.control,
            controls={**made.get("controls", {}), **{name: spec.changes(self, build) for name, spec in self.controls.items()}},
            control_training=self.control_training.build() if self.control_training else None,
            seeds=self.seeds,
            folder=folder,
            targets=self.targets,
            name=self.name,
            task=self.new_task(),
            student_options=self.student.options(),
            teacher_options=self.teacher.options() if self.teacher is not None else None,
            cache=None if self.cache is None else self.cache.build(),
            resume=resume,
            allow_shared_items=self.data.allow_shared_items,
        )

    def _student_and_stages(
        self, teacher: nn.Module | None, train: Items | None, known: Items
    ) -> tuple[ModelOrBuilder | None, Sequence[Stage]]:
        if self.method_call.is_late:
            late = self.method_call.after_loading(teacher, train)
            return late.get("student"), late.get("stages", [])
        if "student" in self.method_arguments:
            student: ModelOrBuilder | None = self.method_arguments["student"]
        else:
            sizes = data_sizes(known.for_actor("student")) if self.student.named else None
            student = None if sizes is None else self.student.builder(*sizes)
        return student, self.plan_builder.stages(functools.partial(_builder, self.reader.reads, known), self.items)


def _builder(fields: Mapping[str, str], known: Items, spec: ActorSpec) -> Callable[..., nn.Module]:
    """Returns the builder of a further model, with the sizes of the one of the `fields` (by actor) that it reads."""
    reader = next((name for name, field in fields.items() if field == spec.reads), "student")
    return spec.builder(*data_sizes(known.for_actor(reader)))


def _with_smaller_vocabulary(vocabulary: CorpusVocabulary, student: FromTeacher, teacher: nn.Module) -> nn.Module:
    """Returns the student made from the teacher after its vocabulary is cut."""
    return student(vocabulary.cut(teacher))
