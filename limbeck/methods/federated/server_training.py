"""The run in which averaged models learn on the server, and which of their states is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import nn

from limbeck.core.actors import Actor
from limbeck.core.source import Source
from limbeck.data import Items
from limbeck.engine import Run, Settings, Stage, Validation
from limbeck.tasks import Task


def train_on_server(
    actors: Mapping[str, Actor],
    stage: Stage,
    students: Mapping[str, nn.Module],
    source: Source | None,
    *,
    task: Task,
    seed: int,
    settings: Settings,
    validation: Items | None,
    every: int,
    patience: int | None,
) -> None:
    """Trains the students in place. They keep the state that is best on validation data, which may be the one they came with.

    Args:
        students: by the name of their actor.
        source: of updates that name none.
        validation: None: the last state is kept.
        every, patience: see `Validation`.
    """
    if validation is None:
        Run(actors, [stage], source=source, seed=seed, settings=settings).fit()
        return
    chosen = _validation(task, validation, list(students), settings, every=every, patience=patience)
    averaged = {name: copy.deepcopy(model.state_dict()) for name, model in students.items()}
    before = chosen.evaluate({name: model.eval() for name, model in students.items()})[chosen.metric]
    run = Run(actors, [stage], source=source, seed=seed, settings=settings, validation=chosen).fit()
    assert run.clock.best is not None
    if chosen.better(run.clock.best, before):
        run.load_best()
    else:
        for name, model in students.items():
            model.load_state_dict(averaged[name])


def _validation(
    task: Task, items: Items, names: Sequence[str], settings: Settings, *, every: int, patience: int | None
) -> Validation:
    """The mean metric of the models of all groups chooses the state."""

    def evaluate(models: Mapping[str, nn.Module]) -> Mapping[str, float]:
        found = [
            task.compute_metrics(task.outputs(model, items, autocast=settings.autocast), items) for model in models.values()
        ]
        return {name: sum(each[name] for each in found) / len(found) for name in found[0]}

    return Validation(evaluate, names, task.metric.name, higher_is_better=task.higher_is_better, every=every, patience=patience)
