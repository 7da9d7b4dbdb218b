"""A recipe: one distillation from data to verdict."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from limbeck.recipe.job import Job, shape_of_data
from limbeck.recipe.parts import ExportSpec, PhaseSpec, TermSpec, TrainingSpec, build_terms, length

if TYPE_CHECKING:
    from torch import nn

    from limbeck.distillation import Distillation
    from limbeck.sources import Items


class Recipe(Job):
    """A distillation from data to verdict."""

    terms: list[TermSpec] = Field(default_factory=list)
    stages: list[PhaseSpec] = Field(default_factory=list, description="several stages, instead of terms")
    control: bool = True
    control_training: TrainingSpec | None = Field(None, description="where the student's settings would handicap the control")
    targets: dict[str, float] = Field(default_factory=dict)
    export: ExportSpec | None = Field(None, description="ship the student as these files, and measure them")

    @model_validator(mode="before")
    @classmethod
    def _no_comparison(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and "variants" in content:
            raise ValueError("it compares variants; carry it out with: limbeck compare RECIPE")
        return content

    @model_validator(mode="after")
    def _whole(self) -> Self:
        from limbeck.verdict.targets import check_targets

        if bool(self.terms) == bool(self.stages):
            raise ValueError("give terms: or stages:, one of the two")
        check_targets(self.targets)
        return self

    def distillation(
        self, teacher: nn.Module, train: Items, *, folder: Path | None = None, resume: bool = False
    ) -> Distillation:
        """The job that this recipe describes."""
        from limbeck.distillation import Distillation
        from limbeck.plan import Phase

        classes, channels = shape_of_data(train)
        training = self.training.build()
        if self.stages:
            phases = [
                Phase(
                    functools.partial(build_terms, stage.terms),
                    length(stage.epochs, stage.steps),
                    stage.optimizer.build() if stage.optimizer else None,
                    stage.freeze,
                    stage.name,
                )
                for stage in self.stages
            ]
        else:
            phases = [Phase(functools.partial(build_terms, self.terms), training.length)]
        return Distillation(
            self.student.builder(classes, channels),
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
            store=None if self.store is None else self.store.build(),
            resume=resume,
        )
