"""What all trainings of an experiment share: models, stages, training settings, task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core.actors import Actor, average, frozen, trained
from limbeck.data import Dataset, Items, TokenStorage, input_for_actor
from limbeck.data.fields import named_views
from limbeck.engine import Settings
from limbeck.engine.training import Phase, Training
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.models.from_teacher import ModelOrBuilder, build_model
from limbeck.tasks import Task
from limbeck.teacher_cache import CacheConfig, CachedTeacher


@dataclass
class Experiment:
    """What all trainings of an experiment share.

    Attributes:
        student, teacher, phases, training, control_training, task, cache, folder, resume: see `Distillation`.
        options: how student and teacher run, as `Actor` takes it, by the name of the actor.
        input_names: the actors, where each reads tokens of its own; set by the checks.
        teacher_outputs: what the terms read of the teacher; set by the checks.
    """

    student: ModelOrBuilder
    teacher: nn.Module
    phases: list[Phase]
    training: Training
    control_training: Training
    task: Task
    options: Mapping[str, Mapping[str, Any]]
    cache: CacheConfig | None = None
    folder: Path | None = None
    resume: bool = False
    input_names: tuple[str, ...] = ()
    teacher_outputs: TeacherOutputs = field(default_factory=TeacherOutputs)

    def new_student(self, seed: int) -> nn.Module:
        """Returns the student as it starts for a seed, the same for all arms."""
        return self._build(self.student, seed)

    def source(self, items: Items, training: Training) -> Dataset:
        """Returns the items in the views of a training; with a cache, in a few views that repeat."""
        if isinstance(items.storage, TokenStorage):  # if one stage needs its tokens by actor, all do
            items = items.with_storage(items.storage.for_actors(self.input_names))
        source = training_source(items, training, self.task)
        if self.cache is not None:
            source.view_count, source.view_seed = self.cache.view_count(training.views), self.cache.view_seed
        return source

    def actors(
        self,
        student: nn.Module,
        training: Training,
        *,
        seed: int = 0,
        with_teacher: bool = True,
        cached: CachedTeacher | None = None,
    ) -> dict[str, Actor]:
        """Returns the student with its average, and the teacher with assistants and further teachers.

        Args:
            seed: of the weights of assistants and further teachers.
            with_teacher: False for the control.
            cached: the cache of the teacher, if there is one.
        """
        actors = {"student": trained(student, reads=input_for_actor("student", self.input_names), **self.options["student"])}
        if with_teacher:
            reads = input_for_actor("teacher", self.input_names)
            actors["teacher"] = frozen(self.teacher, cache=cached, reads=reads, **self.options["teacher"])
            learners = {phase.trains for phase in self.phases}
            for name, model in ((name, model) for phase in self.phases for name, model in phase.actors.items()):
                made = self._build(model, seed)
                actors[name] = trained(made, reads=reads) if name in learners else frozen(made, reads=reads)
        if training.ema is not None:
            actors["average"] = average("student", training.ema)
        return actors

    def _build(self, model: ModelOrBuilder, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_model(model, self.teacher)


def training_source(items: Items, training: Training, task: Task) -> Dataset:
    """Returns the items in batches, in the views of a training."""
    views = {name: task.view(items, view) for name, view in named_views(training.views).items()}
    return Dataset(items, batch_size=training.batch_size, views=views, prefetch=training.prefetch)


def inference_device(settings: Settings) -> torch.device:
    """Returns the device on which models run outside of a training: the GPU, unless the settings say otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() and settings.device != "cpu" else "cpu")
