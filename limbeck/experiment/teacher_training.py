"""Training a teacher on labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from limbeck.core.actors import Actors, average, trained
from limbeck.core.batch import first_items
from limbeck.core.model_io import LOGITS
from limbeck.core.reference_module import module_of
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items
from limbeck.engine import Run, Stage, Update
from limbeck.engine.training import Training
from limbeck.experiment.checks.training_batches import check_training_batches
from limbeck.experiment.checks.training_outputs import FEW, check_training_output
from limbeck.experiment.experiment import training_source
from limbeck.tasks import Classification, Task


def train_teacher(
    build: Callable[[], nn.Module],
    train: Items,
    training: Training,
    *,
    task: Task | None = None,
    seed: int = 0,
    name: str = "teacher",
    output: str = LOGITS,
    shown_seed: int | None = None,
    folder: Path | None = None,
    log: Path | None = None,
    resume: bool = False,
) -> nn.Module:
    """Builds a teacher and trains it on the labels.

    Args:
        build: returns the model; its random weights are drawn from the seed.
        train: items without a label are left out.
        training: how it is trained.
        task: None: classification.
        name: of the actor, for the log.
        output: of several outputs the one that learns the labels, see `Actor.output`.
        shown_seed: the seed in the log and the progress, if that of the weights is derived from another; None: `seed`.
        folder, log, resume: see `Run`.

    Returns:
        The trained model, or its average if the training has one, on the CPU and in evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    task = task or Classification()
    check_teacher_training(model, train, training, task=task, name=name, output=output)
    stage, source = _stage_and_source(train.for_actor(name), training, task)
    actors = {"teacher": trained(model, output=output)} | (
        {"average": average("teacher", training.ema)} if training.ema is not None else {}
    )
    settings = replace(training.settings, labels={"seed": seed if shown_seed is None else shown_seed, "arm": name})
    run = Run(actors, [stage], source=source, seed=seed, settings=settings, folder=folder, log=log)
    run.fit(resume=resume)
    return run.actors["average" if training.ema is not None else "teacher"].model.cpu().eval()


def check_teacher_training(
    model: nn.Module,
    train: Items,
    training: Training,
    *,
    task: Task | None = None,
    name: str = "teacher",
    output: str = LOGITS,
) -> None:
    """Checks that a model can be trained on the labels in these batches; see `train_teacher`.

    Raises:
        ValueError: its outputs do not fit the labels, or a part of a batch holds one item, on which its BatchNorm cannot train.
    """
    task, own = task or Classification(), train.for_actor(name)
    stage, source = _stage_and_source(own, training, task)
    actors = Actors({"teacher": trained(model, output=output)})
    task.check(module_of("teacher", actors), task.training_items(own), name, "training data")
    example = first_items(source.batch(BatchPosition(0)), FEW)
    check_training_output(name, actors["teacher"], next(iter(example.inputs.values())))
    check_training_batches(actors, [stage], source, training.settings, who=name, seed=0)


def _stage_and_source(train: Items, training: Training, task: Task) -> tuple[Stage, Dataset]:
    task.prepare(None, train, [], control=True)
    source = training_source(task.training_items(train), training, task)
    return Stage([Update(task.hard_terms("teacher"), trains="teacher")], training.length, training.optimizer), source
