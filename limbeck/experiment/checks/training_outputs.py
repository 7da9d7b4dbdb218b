"""Outputs that a model has in training mode only, such as those of auxiliary classifiers: found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from limbeck.core.actors import Actor, actor_inputs
from limbeck.core.batch import Batch, first_items
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS, call_model, preserve_buffers, preserve_modes, select_output
from limbeck.core.taps.probe import is_tap

FEW = 2  # items, enough for BatchNorm


def check_training_outputs(criterion: Criterion, trains: Iterable[str], example: Batch) -> None:
    """Runs the models whose output the terms read in training mode, without a step; they stay as they are.

    Raises:
        ValueError: no logits, or several that could be, in what one returns. Other errors are left to the training.
    """
    if criterion.plan.generator is not None:
        return
    inputs = next(iter(first_items(example, FEW).inputs.values()))
    for name in trains:
        actor = criterion.actors[name]
        if LOGITS in criterion.probes[name].taps:
            check_training_output(name, actor, actor_inputs(actor, name, inputs))


def check_training_output(name: str, actor: Actor, inputs: Any) -> None:
    """Runs one model; see `check_training_outputs`."""
    if not is_tap(actor.model, actor.output) and (problem := _problem(actor, inputs)) is not None:
        raise ValueError(f"{name}: in training mode {problem}") from problem


def _problem(actor: Actor, inputs: Any) -> TapError | None:
    """What is wrong with the output in training mode, if the model runs."""
    model = actor.model
    with torch.no_grad(), preserve_modes(model), preserve_buffers(model), torch.random.fork_rng(devices=[]):
        try:
            output = call_model(model.train(), inputs)
        except Exception:
            return None
    try:
        select_output(output, actor.output)
    except TapError as error:
        return error
    return None
