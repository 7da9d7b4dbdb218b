"""The updates of a stage, ready to run: with criteria built from their terms, and optimizers over what they train."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.source import BatchPosition, Source
from limbeck.core.terms import Term
from limbeck.engine.dead_terms import DeadTermCheck, warn_of_same_object
from limbeck.engine.fused_kernels import has_sparse_gradients, take_step
from limbeck.engine.gradient_checkpointing import checkpointed_blocks
from limbeck.engine.optimizers import Optimizer
from limbeck.engine.sharding import clip_gradients, load_optimizer
from limbeck.engine.stages import Stage, Update
from limbeck.engine.sync_batch_norm import normalizes_batches
from limbeck.utils import distributed
from limbeck.utils.seeds import mix_seeds


@dataclass
class BoundUpdate:
    """An update with its criterion, its parameters and its optimizers.

    Attributes:
        learners: parameters of each actor that the update trains, by the actor's name.
        parameters: those of all learners and of the criterion.
        check: looks for terms without gradient in the first steps.
        optimizer: what its optimizers were built from.
        optimizers: by the name of the actor that they train.
        normalizes_batches: whether BatchNorm layers take part.
        blocks: of the actors through which gradient flows, as gradient checkpointing computes them again.
    """

    update: Update
    criterion: Criterion
    source: Source
    learners: dict[str, list[nn.Parameter]]
    parameters: list[nn.Parameter]
    check: DeadTermCheck
    optimizer: Optimizer
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    normalizes_batches: bool = False
    blocks: Sequence[nn.Module] = ()

    def zero_gradients(self) -> None:
        """Drops the gradients of what the optimizers change, without the profiling of `Optimizer.zero_grad`."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def step(self, scaler: torch.amp.GradScaler, clip: float | None, progress: float) -> None:
        """Sums the gradients over processes, clips them and changes the weights."""
        distributed.all_reduce_gradients(self.parameters)
        for optimizer in self.optimizers.values():
            scaler.unscale_(optimizer)
        if clip is not None:
            clip_gradients(self.parameters, clip)
        for optimizer in self.optimizers.values():
            self.optimizer.set_rate(optimizer, progress)
            take_step(optimizer, scaler)
        scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return {
            "terms": [describe_term(term) for term in self.criterion.terms],
            "criterion": self.criterion.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "unchecked": dict(self.check.left),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.criterion.load_state_dict(state["criterion"])
        self.check.left = dict(state["unchecked"])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])


def describe_term(term: Term) -> dict[str, str]:
    """Returns what identifies a bound term in a checkpoint."""
    return {
        "name": term.name,
        "students": students_of(term),
        "teachers": teachers_of(term),
        "objective": term.objective.name,
    }


def students_of(term: Term) -> str:
    """Returns the signals on the student's side of a bound term, as text."""
    return " ".join(map(str, term.students))


def teachers_of(term: Term) -> str:
    """Returns the signals on the teacher's side of a bound term, as text."""
    return " ".join(map(str, term.teachers))


def bind_updates(
    stage: Stage,
    actors: Actors,
    source: Source | None,
    lr_scale: Mapping[int, float],
    *,
    seed: int,
    number: int,
    device: torch.device,
) -> list[BoundUpdate]:
    """Builds the criteria of a stage, adapters included, and then the optimizers that train them.

    Args:
        source: of the updates that name none.
        lr_scale: factor of the learning rate by a parameter's id, where it is not 1.
        seed: of the run.
        number: index of the stage.

    Raises:
        ValueError: an update has no source, or its terms do not fit the models.
    """
    models = {name: actor.model for name, actor in actors.items()}
    bound, default = [], stage.optimizer or Optimizer()  # one object, so that updates share optimizers
    for position, update in enumerate(stage.updates):
        inputs = update.source or source
        if inputs is None:
            raise ValueError("an update names no source and the run has none; pass source=…")
        inputs.bind(models)
        example = inputs.batch(BatchPosition(0, seed))
        criterion = _build_criterion(update, actors, inputs, example, seed=mix_seeds(seed, number, position))
        learners = {name: list(actors[name].model.parameters()) for name in update.trains}
        parameters = [*(p for ps in learners.values() for p in ps), *criterion.parameters()]
        check, optimizer = DeadTermCheck(criterion, learners), update.optimizer or default
        uncached = (actor.model for actor in actors.values() if actor.cache is None)  # processes miss other rows of a cache
        normalizes = normalizes_batches([*(models[name] for name in update.trains), criterion], uncached)
        bound.append(
            BoundUpdate(
                update,
                criterion,
                inputs,
                learners,
                parameters,
                check,
                optimizer,
                normalizes_batches=normalizes,
                blocks=checkpointed_blocks(criterion),
            )
        )
    _build_optimizers(bound, lr_scale, sparse={name for name, model in models.items() if has_sparse_gradients(model)})
    return bound


def _build_criterion(update: Update, actors: Actors, source: Source, example: Batch, *, seed: int) -> Criterion:
    criterion = Criterion(
        update.terms, actors=actors, trains=update.trains, generator=source.generator, seed=seed, balance=update.balance
    )
    criterion.build(example, samples=source.samples)
    warn_of_same_object(criterion)
    return criterion


def _build_optimizers(updates: Sequence[BoundUpdate], lr_scale: Mapping[int, float], sparse: Container[str]) -> None:
    """Makes one optimizer for each trained actor, shared by all updates of the stage that train it.

    The parameters of a criterion go to the optimizer of the first actor that its update trains.
    """
    parameters: dict[tuple[str, int], list[nn.Parameter]] = {}
    specs = {id(one.optimizer): one.optimizer for one in updates}
    for one in updates:
        for position, name in enumerate(one.update.trains):
            group = parameters.setdefault((name, id(one.optimizer)), list(one.learners[name]))
            if position == 0:
                group.extend(one.criterion.parameters())
    built = {
        (name, spec): specs[spec].build(group, lr_scale, sparse=name in sparse) for (name, spec), group in parameters.items()
    }
    for one in updates:
        one.optimizers = {name: built[name, id(one.optimizer)] for name in one.update.trains}
