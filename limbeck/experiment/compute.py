"""How much an arm computes, for controls that train for as much computation as what is distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from limbeck.core.actors import Actors, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import call_model
from limbeck.core.source import BatchPosition, Source
from limbeck.engine import Stage, Update, steps
from limbeck.engine.stages import resolve_stages
from limbeck.evaluation.flops import count_flops
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import Plan


def with_equal_compute(
    experiment: Experiment, own: tuple[Plan, Sequence[Stage]], distilled: tuple[Plan, Sequence[Stage]], source: Source | None
) -> list[Stage]:
    """Returns the stages of a control, longer (or shorter) by one factor, so that it computes as much as what is distilled.

    Floating-point operations of matrix products and convolutions are counted over one step of each stage: forward passes of
    all models, and the backward pass. The outputs of a cached actor cost nothing.

    Args:
        own: plan and stages of the control.
        distilled: those of what is distilled.
        source: the training data; None if there is none.
    """
    wanted, spent = (training_flops(experiment, plan, stages, source) for plan, stages in (distilled, own))
    factor = wanted / max(spent, 1.0)
    return [replace(stage, length=steps(max(1, round(stage.length.count * factor)))) for stage in own[1]]


def training_flops(experiment: Experiment, plan: Plan, stages: Sequence[Stage], source: Source | None) -> float:
    """Returns the floating-point operations of a training, whose lengths are in steps."""
    actors, total = Actors(experiment.actors(plan)), 0.0
    for stage in resolve_stages(stages, actors):
        per_step = sum(_update_flops(plan, update, actors, source) * update.repeat / update.every for update in stage.updates)
        total += per_step * stage.length.count
    return total


def _update_flops(plan: Plan, update: Update, actors: Actors, source: Source | None) -> int:
    inputs = update.source or source
    assert inputs is not None, "the checks refuse an update without a source"
    inputs.bind({name: actor.model for name, actor in actors.items()})
    example = inputs.batch(BatchPosition(0))
    criterion = Criterion(update.terms, actors=actors, trains=update.trains, generator=inputs.generator)
    with torch.random.fork_rng(devices=[]):
        criterion.build(example, samples=inputs.samples)
        with count_flops() as counter:
            criterion(example)["loss"].backward()
    read = {reference.actor for term in criterion.terms for reference in term.references}
    criterion.close()
    cached = sum(_forward_flops(actors, name, example) for name in plan.caches if name in read)
    return counter.get_total_flops() - cached


@torch.no_grad()
def _forward_flops(actors: Actors, name: str, example: Batch) -> int:
    with count_flops() as counter:
        call_model(actors[name].model, actor_inputs(actors[name], name, example.inputs[DEFAULT_VIEW]))
    return counter.get_total_flops()
