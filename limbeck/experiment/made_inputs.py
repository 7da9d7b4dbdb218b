"""What a training has made without data, read from its sources when it is over."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW
from limbeck.core.model_io import call_model, logits_of, preserve_modes
from limbeck.data import Items, to_float
from limbeck.engine import Run
from limbeck.evaluation.made_inputs import MadeInput, choose_made_inputs
from limbeck.experiment.plan import TEACHER

REAL = 5000  # training items that are compared with, at most


def made_inputs_of(run: Run, train: Items | None) -> list[MadeInput]:
    """Returns images that the sources of a training have made; none if they have made none.

    Args:
        run: that is over.
        train: the training data, for the nearest images; None: there is none.
    """
    if TEACHER not in run.actors:
        return []
    inputs = _made_by(run)
    if inputs is None or inputs.ndim != 4:
        return []
    teacher = run.actors[TEACHER].model
    with torch.no_grad(), preserve_modes(teacher):
        logits: Any = logits_of(call_model(teacher.eval(), inputs))
    return choose_made_inputs(inputs.cpu(), logits.cpu(), _real(train)) if isinstance(logits, Tensor) else []


def _made_by(run: Run) -> Tensor | None:
    models = {name: actor.model for name, actor in run.actors.items()}
    for source in run.sources:
        made = source.made(models)
        if made is not None:
            found = made.inputs[DEFAULT_VIEW]
            return found if isinstance(found, Tensor) else None
    return None


def _real(train: Items | None) -> Tensor | None:
    """The training images as the models read them; None if they are no images of one size."""
    if train is None:
        return None
    found = train.fetch(torch.arange(min(len(train), REAL)))
    return to_float(found) if isinstance(found, Tensor) and found.ndim == 4 else None
