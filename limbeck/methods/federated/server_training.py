"""The run in which averaged models learn on the server, and which of their states is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor
from limbeck.core.source import Source
from limbeck.data import Items
from limbeck.engine import Run, Settings, Stage, Validation
from limbeck.tasks import Task


def that_can_learn(students: Mapping[str, nn.Module], clients: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The averages without one that is the only client's model: of a round with one reply, which has nothing to teach it."""
    if len(clients) != 1:
        return dict(students)
    (only,) = clients.values()
    return {name: model for name, model in students.items() if not _are_equal(model.state_dict(), only.state_dict())}


def _are_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Up to the rounding of a mean of one."""
    if {name: each.shape for name, each in one.items()} != {name: each.shape for name, each in other.items()}:
        return False
    return all(torch.allclose(each.cpu().float(), other[name].cpu().float(), rtol=1e-6) for name, each in one.items())


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
