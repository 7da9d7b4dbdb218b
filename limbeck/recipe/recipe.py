"""A recipe: one distillation from data to verdict."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from limbeck.recipe.base import BaseRecipe, classes_and_channels
from limbeck.recipe.schema.parts import (
    DatasetSpec,
    ExportSpec,
    MethodField,
    StageSpec,
    TermSpec,
    TrainingSpec,
    build_terms,
    length,
)
from limbeck.recipe.yaml_text import expand_variables
from limbeck.utils.registry import nearest

if TYPE_CHECKING:
    from torch import nn

    from limbeck.data import Items
    from limbeck.engine.training import FromTeacher, Model, Phase, Training
    from limbeck.experiment.distillation import Distillation
    from limbeck.models.shrink import CorpusVocabulary


class Recipe(BaseRecipe):
    """A distillation from data to verdict."""

    terms: list[TermSpec] = Field(default_factory=list)
    stages: list[StageSpec] = Field(default_factory=list, description="several stages, instead of terms")
    method: MethodField = Field(
        None, description="a published method by name, such as {tinybert: {layers: 4}}: it makes student and stages"
    )
    control: bool = True
    control_training: TrainingSpec | None = Field(None, description="where the student's settings would handicap the control")
    targets: dict[str, float] = Field(default_factory=dict)
    export: ExportSpec | None = Field(None, description="ship the student as these files, and measure them")

    @model_validator(mode="before")
    @classmethod
    def _refuse_comparison(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and "variants" in content:
            raise ValueError("it compares variants; carry it out with: limbeck compare RECIPE")
        return content

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        from limbeck.evaluation.targets import check_targets

        if sum(map(bool, (self.terms, self.stages, self.method is not None))) != 1:
            raise ValueError("give terms:, stages: or method:, one of the three")
        if self.method is None and not self.student.named:
            raise ValueError("student: a model is needed: model: (by name) or from_teacher:")
        if self.method is not None:
            self._check_method(*next(iter(self.method.items())))
        check_targets(self.targets)
        return self

    def distillation(
        self, teacher: nn.Module, train: Items, *, folder: Path | None = None, resume: bool = False
    ) -> Distillation:
        """The job that this recipe describes."""
        from limbeck.engine.training import FromTeacher
        from limbeck.experiment.distillation import Distillation

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
            store=None if self.cache is None else self.cache.build(),
            resume=resume,
        )

    def _student_and_phases(self, teacher: nn.Module, train: Items, training: Training) -> tuple[Model, list[Phase]]:
        """What the student is made of, and its stages."""
        from limbeck.engine.training import Phase

        if self.method is not None:
            return self._from_method(teacher, train)
        classes, channels = classes_and_channels(train)
        student = self.student.builder(classes, channels)
        if not self.stages:
            return student, [Phase(functools.partial(build_terms, self.terms), training.length)]
        return student, [self._phase(stage, classes, channels) for stage in self.stages]

    def _phase(self, stage: StageSpec, classes: int | None, channels: int | None) -> Phase:
        from limbeck.engine.training import Phase

        return Phase(
            functools.partial(build_terms, stage.terms),
            length(stage.epochs, stage.steps),
            stage.optimizer.build() if stage.optimizer else None,
            stage.freeze,
            stage.name,
            unfreeze=stage.unfreeze,
            lr_scale=stage.slow,
            trains=stage.trains,
            actors={name: actor.builder(classes, channels) for name, actor in stage.actors.items()},
            data=None if stage.data is None else self.items(stage.data),
        )

    def _from_method(self, teacher: nn.Module, train: Items) -> tuple[Model, list[Phase]]:
        from limbeck import methods

        assert self.method is not None
        ((name, arguments),) = self.method.items()
        given = dict(arguments)
        if (general := given.pop("general", None)) is not None:
            part = DatasetSpec.model_validate({"path": general} if isinstance(general, str) else general)
            given["general"] = self.reader.texts(part.model_copy(update={"label": False}))
            given |= self._general_teacher(name, given)
        made: tuple[Model, list[Phase]] = methods.registry[name](teacher, task=self.new_task(), items=train, **given)
        return made

    def _general_teacher(self, method: str, given: Mapping[str, Any]) -> dict[str, str]:
        """Texts of all kinds are answered by what the teacher was before this recipe fine-tuned it, where the method tells the
        two apart."""
        from limbeck import methods

        field = "general_teacher"
        start = given.get(field) or (self.teacher.args.get("name_or_path") if self.teacher.training else None)
        if start is None or field not in inspect.signature(methods.registry[method]).parameters:
            return {}
        return {field: expand_variables(start, f"method.{method}.{field}")}

    def _check_method(self, name: str, arguments: Mapping[str, Any]) -> None:
        from limbeck import methods

        known = [
            name for name in inspect.signature(methods.registry[name]).parameters if name not in ("teacher", "task", "items")
        ]
        for argument in arguments:
            if argument not in known:
                raise ValueError(f"method: {name} has no {argument!r}; nearest: {', '.join(nearest(argument, known))}")
        if self.student.named:
            raise ValueError(f"student: the method {name} makes it; leave out model: and from_teacher:")


def _with_smaller_vocabulary(vocabulary: CorpusVocabulary, student: FromTeacher, teacher: nn.Module) -> nn.Module:
    """The student as it is made of a teacher with a smaller vocabulary."""
    return student(vocabulary.cut(teacher))
