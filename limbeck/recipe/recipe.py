"""A recipe: one distillation from data to verdict."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from torch import nn

from limbeck import methods
from limbeck.data import Items
from limbeck.engine.training import Phase, Training
from limbeck.evaluation.targets import check_targets
from limbeck.experiment.distillation import Distillation
from limbeck.models.from_teacher import FromTeacher, ModelOrBuilder
from limbeck.models.shrink import CorpusVocabulary
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.dataset_reader import DataSizes, data_sizes
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.recipe.schema.export import ExportSpec
from limbeck.recipe.schema.stages import MethodField, StageSpec
from limbeck.recipe.schema.terms import TermSpec, build_terms
from limbeck.recipe.schema.training import TrainingSpec, length
from limbeck.utils.registry import nearest_names

GIVEN = ("teacher", "task", "items")  # arguments of a method that the recipe fills in


class Recipe(BaseRecipe):
    """A distillation from data to verdict."""

    terms: list[TermSpec] = Field(default_factory=list)
    stages: list[StageSpec] = Field(default_factory=list, description="several stages, instead of terms")
    method: MethodField = Field(
        None, description="a published method by name, such as {tinybert: {layers: 4}}: it makes student and stages"
    )
    control: bool = True
    control_training: TrainingSpec | None = Field(
        None, description="of the control, if the student's settings would put it at a disadvantage"
    )
    targets: dict[str, float] = Field(default_factory=dict)
    export: ExportSpec | None = Field(None, description="write the student as these files, and measure them")

    @model_validator(mode="before")
    @classmethod
    def _refuse_comparison(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and "variants" in content:
            raise ValueError("it compares variants; carry it out with: limbeck compare RECIPE")
        return content

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if sum(map(bool, (self.terms, self.stages, self.method is not None))) != 1:
            raise ValueError("give terms:, stages: or method:, one of the three")
        if self.method is None and not self.student.named:
            raise ValueError("student: a model is needed: model: (by name) or from_teacher:")
        if self.method is not None:
            self._check_method(*next(iter(self.method.items())))
        check_targets(self.targets)
        return self

    def _check_method(self, name: str, arguments: Mapping[str, Any]) -> None:
        known = [each for each in inspect.signature(methods.registry[name]).parameters if each not in GIVEN]
        for argument in arguments:
            if argument not in known:
                raise ValueError(f"method: {name} has no {argument!r}; nearest: {', '.join(nearest_names(argument, known))}")
        if self.student.named:
            raise ValueError(f"student: the method {name} makes it; leave out model: and from_teacher:")

    def distillation(
        self, teacher: nn.Module, train: Items, *, folder: Path | None = None, resume: bool = False
    ) -> Distillation:
        """Returns the distillation that this recipe describes."""
        training = self.training.build()
        student, phases = self._student_and_phases(teacher, train, training)
        if (vocabulary := self.reader.vocabulary) is not None:
            assert isinstance(student, FromTeacher)
            student = FromTeacher(functools.partial(_with_smaller_vocabulary, vocabulary, student))
        return Distillation(
            student,
            teacher,
            phases=phases,
            training=training,
            control=self.control,
            control_training=self.control_training.build() if self.control_training else None,
            seeds=self.seeds,
            folder=folder,
            targets=self.targets,
            name=self.name,
            task=self.new_task(),
            student_options=self.student.options(),
            teacher_options=self.teacher.options(),
            cache=None if self.cache is None else self.cache.build(),
            resume=resume,
        )

    def _student_and_phases(self, teacher: nn.Module, train: Items, training: Training) -> tuple[ModelOrBuilder, list[Phase]]:
        if self.method is not None:
            return self._from_method(teacher, train)
        sizes = data_sizes(train.for_actor("student"))
        student = self.student.builder(*sizes)
        if not self.stages:
            return student, [Phase(functools.partial(build_terms, self.terms), training.length)]
        return student, [self._phase(stage, sizes) for stage in self.stages]

    def _phase(self, stage: StageSpec, sizes: DataSizes) -> Phase:
        return Phase(
            functools.partial(build_terms, stage.terms),
            length(stage.epochs, stage.steps),
            stage.optimizer.build() if stage.optimizer else None,
            stage.freeze,
            stage.name,
            unfreeze=stage.unfreeze,
            lr_scale=stage.lr_scale,
            trains=stage.trains,
            actors={name: actor.builder(*sizes) for name, actor in stage.actors.items()},
            data=None if stage.data is None else self.items(stage.data),
        )

    def _from_method(self, teacher: nn.Module, train: Items) -> tuple[ModelOrBuilder, list[Phase]]:
        """Returns what the published method makes; `general` names texts that it loads first."""
        assert self.method is not None
        ((name, given),) = self.method.items()
        arguments = dict(given)
        if (general := arguments.pop("general", None)) is not None:
            texts = DatasetSpec.model_validate(general).model_copy(update={"label": False})
            arguments["general"] = self.reader.texts(texts)
            arguments |= self._general_teacher(name, arguments)
        made: tuple[ModelOrBuilder, list[Phase]] = methods.registry[name](
            teacher, task=self.new_task(), items=train, **arguments
        )
        return made

    def _general_teacher(self, method: str, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Returns the teacher for general texts, if the method takes one: the teacher before this recipe fine-tunes it."""
        field = "general_teacher"
        name = arguments.get(field) or (self.teacher.args.get("name_or_path") if self.teacher.training else None)
        if name is None or field not in inspect.signature(methods.registry[method]).parameters:
            return {}
        return {field: expand_variables(name, f"method.{method}.{field}")}


def _with_smaller_vocabulary(vocabulary: CorpusVocabulary, student: FromTeacher, teacher: nn.Module) -> nn.Module:
    """Returns the student made from the teacher after its vocabulary is cut."""
    return student(vocabulary.cut(teacher))
