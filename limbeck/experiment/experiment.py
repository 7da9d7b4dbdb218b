"""What all trainings of an experiment share: the plans of its arms, task, folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from limbeck.core.actors import Actor, Role, average, preserve_gradient_flags
from limbeck.core.model_io import preserve_modes
from limbeck.core.source import Source
from limbeck.data import Dataset, FieldStorage, Items, OverlappingDataset, TokenStorage, as_items, input_for_actor
from limbeck.data.fields import named_views, with_reads
from limbeck.engine import Settings
from limbeck.engine.training import Training
from limbeck.experiment.plan import AVERAGE, STUDENT, TEACHER, Plan
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.models.from_teacher import build_model
from limbeck.tasks import Task
from limbeck.tasks.classification import in_classes_of
from limbeck.utils.seeds import mix_seeds

ItemsOrNone = TypeVar("ItemsOrNone", bound=Items | None)


OnExperiment = TypeVar("OnExperiment", bound=Callable[..., Any])


def keeps_models(function: OnExperiment) -> OnExperiment:
    """Restores the mode, training or evaluation, of the models of an experiment and `requires_grad` of their parameters
    afterwards: they belong to the caller."""

    @functools.wraps(function)
    def kept(experiment: Experiment, *given: Any, **arguments: Any) -> Any:
        actors = [actor for plan in experiment.plans.values() for actor in plan.actors.values()]
        models = [actor.module for actor in actors if isinstance(actor.module, nn.Module)]
        with preserve_modes(*models), preserve_gradient_flags(*models):
            return function(experiment, *given, **arguments)

    return kept  # type: ignore[return-value]


@dataclass
class Experiment:
    """What all trainings of an experiment share.

    Attributes:
        plans: of the arms, by name: `student` is what is distilled, `control` learns from labels only, others are further
            controls.
        task, folder, resume: see `Distillation`.
        input_names: the actors, where each reads tokens of its own; set by the checks.
        teacher_outputs: what the terms read of each frozen actor, by its name; set by the checks.
        name: of the run, for trackers.
        config: what trackers are told of it besides the training, such as the recipe.
        allow_shared_items: whether all test items may be training or validation items too.
        checked: what the terms of other experiments with the same data, models and training needed of them, as these were
            checked; None: this experiment shares its checks with no other.
        trained_first: the frozen models that the run has trained itself, before it compares with them.
        further_training_data: what frozen models were trained on besides the training data, whose items test data may share.
    """

    plans: dict[str, Plan]
    task: Task
    folder: Path | None = None
    resume: bool = False
    input_names: tuple[str, ...] = ()
    teacher_outputs: dict[str, TeacherOutputs] = field(default_factory=dict)
    name: str = "distillation"
    config: Mapping[str, Any] = field(default_factory=dict)
    allow_shared_items: bool = False
    trained_first: frozenset[str] = frozenset()
    further_training_data: tuple[Items, ...] = ()
    checked: set[tuple[bool, bool]] | None = None  # labels of the training data, predictions of the teacher

    @property
    def plan(self) -> Plan:
        """The plan of what is distilled."""
        return self.plans[STUDENT]

    @property
    def teacher(self) -> nn.Module | None:
        """The module of the actor `teacher`; None if there is none."""
        actor = self.plan.actors.get(TEACHER)
        return None if actor is None else actor.module

    def settings_of(self, plan: Plan, **labels: str | int) -> Settings:
        """Returns the settings of a training, with the name of the run and what trackers are told of it."""
        training = plan.training
        told = self.config or {"batch_size": training.batch_size, "optimizer": vars(training.optimizer), "ema": training.ema}
        return replace(training.settings, labels=labels, project=self.name, config=told)

    def set_module(self, name: str, module: nn.Module) -> None:
        """Replaces the module of a frozen actor in all arms, such as by a teacher after its training."""
        for arm, plan in self.plans.items():
            if name in plan.actors:
                actors = {**plan.actors, name: replace(plan.actors[name], module=module)}
                self.plans[arm] = replace(plan, actors=actors)

    def set_training(self, change: Any) -> None:
        """Replaces the training of every arm by `change(training)`."""
        for arm, plan in self.plans.items():
            self.plans[arm] = replace(plan, training=change(plan.training))

    def readable(self, items: ItemsOrNone) -> ItemsOrNone:
        """Returns the items in the teacher's class numbering, if it knows more classes; of fields each actor reads its own.

        Raises:
            ValueError: something from which no items can be made, see `limbeck.data.as_items`.
        """
        items = items if items is None else as_items(items)  # type: ignore[assignment]
        if items is not None and self.task.outputs_classes:
            items = in_classes_of(items, self.teacher)  # type: ignore[assignment]
        if items is None or (items.storage.input_names and not isinstance(items.storage, FieldStorage)):
            return items
        return with_reads(items, {name: actor.reads for name, actor in self.plan.actors.items()})  # type: ignore[return-value]

    def source(self, items: Items, plan: Plan, *, ahead: bool = True) -> Dataset:
        """Returns the items in the views of a training; with a cache, in a few views that repeat.

        Args:
            ahead: whether batches may be computed ahead of time.
        """
        if isinstance(items.storage, TokenStorage):  # if one stage needs its tokens by actor, all do
            items = items.with_storage(items.storage.for_actors(self.input_names))
        training = plan.training if ahead else replace(plan.training, prefetch=0, workers=0)
        source = training_source(items, training, self.task)
        self._repeat_views(source, training)
        return source

    def _repeat_views(self, source: Dataset, training: Training) -> None:
        """All arms see the views of the first cache, unless no view changes what the cached actors read."""
        if (cache := next(iter(self.plan.caches.values()), None)) is None:
            return
        reads = (read_by(name, self.plan.actors[name], source.items) for name in self.plan.caches)
        if cache.views is not None or any(map(source.changes, reads)):
            source.view_count, source.view_seed = cache.view_count(training.views), cache.view_seed
            source.view_refresh = cache.refresh

    def fresh_source(self, given: Source | Items, plan: Plan, *, ahead: bool = True) -> Source:
        """Returns the source of an update as it starts: items in batches, any other without its state."""
        return self.source(given, plan, ahead=ahead) if isinstance(given, Items) else given.fresh()

    def new_module(self, name: str, seed: int) -> nn.Module:
        """Returns an actor's module as it starts for a seed, the same in all arms."""
        actor = self.plan.actors[name]
        return build_actor(name, actor, seed, self.teacher)

    def actors(
        self, plan: Plan, *, seed: int = 0, only: set[str] | None = None, caches: Mapping[str, Any] | None = None
    ) -> dict[str, Actor]:
        """Returns the actors of a training: new copies of what is trained, frozen models as they are, averages.

        Args:
            seed: of the weights.
            only: the actors that take part; None: all.
            caches: opened caches by the name of the actor.
        """
        found = {}
        for name, actor in plan.actors.items():
            if only is not None and name not in only:
                continue
            reads = actor.reads if actor.reads is not None else input_for_actor(self._reader(name, actor), self.input_names)
            module = None if actor.of is not None else build_actor(name, actor, seed, self.teacher)
            found[name] = replace(actor, module=module, reads=reads, cache=(caches or {}).get(name))
        if plan.training.ema is not None:
            for name, kept in average_names(plan).items():
                if name in found:
                    found[kept] = average(name, plan.training.ema)
        return found

    def _reader(self, name: str, actor: Actor) -> str:
        """Whose input an actor reads: a copy that of its original."""
        return name if actor.of is None or name in self.input_names else actor.of


def read_by(name: str, actor: Actor, items: Items) -> str | None:
    """Returns which input of these items an actor reads; None if all read the same."""
    return actor.reads if actor.reads is not None else items.storage.input_for(name)


def build_actor(name: str, actor: Actor, seed: int, teacher: nn.Module | None) -> nn.Module:
    """Returns the module of an actor: a frozen one as it is, a copy of one that is trained, or what its factory builds.

    Random weights follow from the seed and, but for the student's, from the name: peers start from different weights.
    """
    if actor.module is not None and actor.role is Role.FROZEN:
        return actor.module
    model = actor.module if actor.module is not None else actor.factory
    assert model is not None, f"actor {name!r} has neither a module nor a factory"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed if name == STUDENT else mix_seeds(seed, name))
        return build_model(model, teacher)


def average_names(plan: Plan) -> dict[str, str]:
    """The names of the averages that `ema` adds, by the trained actor."""
    learners = [name for name, actor in plan.actors.items() if actor.role is Role.TRAINED]
    return {name: AVERAGE if name == STUDENT else f"{AVERAGE}.{name}" for name in learners}


def training_source(items: Items, training: Training, task: Task) -> Dataset:
    """Returns the items in batches, in the views of a training."""
    views = {name: task.view(items, view) for name, view in named_views(training.views).items()}
    kind = OverlappingDataset if training.overlap else Dataset
    return kind(items, batch_size=training.batch_size, views=views, prefetch=training.prefetch, workers=training.workers)


def inference_device(settings: Settings) -> torch.device:
    """Returns the device on which models run outside of a training: the GPU, unless the settings say otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() and settings.device != "cpu" else "cpu")
