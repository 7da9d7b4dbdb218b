"""The arms of an experiment: the student trained with its teacher, and the control trained on labels only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from limbeck.data import Dataset, Items
from limbeck.engine import Freeze, LearningRateScale, Run, Stage, Unfreeze, Update, Validation, steps
from limbeck.engine.stages import Event
from limbeck.engine.training import Phase, Training
from limbeck.experiment.caching import OpenCache, open_teacher_cache
from limbeck.experiment.experiment import Experiment
from limbeck.objectives import HardTargets
from limbeck.tasks import Task

STUDENT, CONTROL = "student", "control"


@dataclass(frozen=True)
class TrainedArm:
    """One training of an experiment.

    Attributes:
        name: "student" or "control".
        model: best on validation data, or the last without any; on the CPU, in evaluation mode.
        score: its validation metric; 0 without validation data.
        run: with the clock.
        cache_folder: the teacher's cache; None if nothing was cached.
    """

    name: str
    model: nn.Module
    score: float
    run: Run
    cache_folder: Path | None


def train_arm(experiment: Experiment, name: str, seed: int, train: Items, validation: Items | None) -> TrainedArm:
    """Trains the student for one seed, with the teacher or as the control."""
    training = experiment.control_training if name == CONTROL else experiment.training
    source = all_items = experiment.source(train, training)
    stages = _stages(experiment, name, training, source)
    if labels_only := _learns_from_labels_only(stages):  # draws labelled items, for as many steps as the others
        source = experiment.source(experiment.task.training_items(train), training)
    folder = experiment.folder
    with nullcontext(OpenCache()) if labels_only else open_teacher_cache(experiment, training, all_items) as cache:
        student, with_teacher = experiment.new_student(seed), name != CONTROL
        run = Run(
            experiment.actors(student, training, seed=seed, with_teacher=with_teacher, cached=cache.teacher),
            stages,
            source=source,
            seed=seed,
            settings=replace(training.settings, labels={"seed": seed, "arm": name}),
            validation=_validation(experiment.task, training, validation, all_items.steps_per_epoch or 1),
            folder=folder and folder / "checkpoints" / f"seed-{seed}-{name}",
            log=folder and folder / "log.jsonl",
        )
        run.fit(resume=experiment.resume)
    model = run.load_best() if validation is not None else run.actors[_evaluated(training)].model
    return TrainedArm(name, model.cpu().eval(), run.clock.best or 0.0, run, cache.folder)


def _stages(experiment: Experiment, name: str, training: Training, source: Dataset) -> list[Stage]:
    """The stages of an arm. The control takes as many steps as the student, whatever it draws from."""
    control = name == CONTROL
    stages = []
    for phase in experiment.phases:
        if control and phase.trains != "student":
            continue
        own = None if phase.data is None else experiment.source(phase.data, training)
        length = steps(phase.length.in_steps(own or source))
        terms = experiment.task.hard_terms() if control else phase.terms()
        update = Update(terms, trains=phase.trains, source=None if control else own)
        events = [] if control else _events(phase)  # what only some stages train, the control trains in all of them
        stages.append(Stage([update], length, phase.optimizer or training.optimizer, on_enter=events, name=phase.name))
    return stages


def _events(phase: Phase) -> list[Event]:
    """The events at the entry of a stage. What is unfrozen is trained at the full learning rate again."""
    events: list[Event] = [
        kind(phase.trains, _modules(paths)) for kind, paths in ((Unfreeze, phase.unfreeze), (Freeze, phase.freeze)) if paths
    ]
    if phase.unfreeze:
        events.append(LearningRateScale(phase.trains, _modules(phase.unfreeze), 1.0))
    return [*events, *(LearningRateScale(phase.trains, _modules([path]), by) for path, by in phase.lr_scale.items())]


def _modules(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths as events take them: none for the whole model."""
    return () if "" in paths else tuple(paths)


def _learns_from_labels_only(stages: Sequence[Stage]) -> bool:
    return all(isinstance(term.objective, HardTargets) for stage in stages for update in stage.updates for term in update.terms)


def _validation(task: Task, training: Training, items: Items | None, steps_per_epoch: int) -> Validation | None:
    if items is None:
        return None
    read = items.for_actor("student")

    def evaluate(model: nn.Module) -> Mapping[str, float]:
        return task.compute_metrics(task.outputs(model, read, autocast=training.settings.autocast), read)

    return Validation(
        evaluate,
        actor=_evaluated(training),
        metric=task.metric.name,
        higher_is_better=task.higher_is_better,
        every=steps_per_epoch * training.validate_every,
        patience=training.patience,
    )


def _evaluated(training: Training) -> str:
    """The actor that is evaluated and kept."""
    return "average" if training.ema is not None else "student"
