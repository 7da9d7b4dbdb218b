"""Made inputs of a shape that a model does not take: told with the field that says it, and with the shape that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from limbeck.core.actors import Actors, Role
from limbeck.core.batch import DEFAULT_VIEW
from limbeck.core.model_io import call_model, logits_of, preserve_modes
from limbeck.core.source import BatchPosition, Source
from limbeck.tasks.image_limits import ERRORS, accepted_shape


@contextmanager
def naming_shape(stage: str, source: Source, actors: Actors) -> Iterator[None]:
    """Adds to an error in the context which model does not take what a source makes, if one does not, and the remedy."""
    try:
        yield
    except ERRORS as error:
        shape = None if source.reads_data else _made_shape(source, actors)
        if shape is None:
            raise
        for name, actor in sorted(actors.items(), key=lambda each: each[1].role is not Role.FROZEN):  # teachers first
            if name in source.actors:
                continue
            if reason := _refusal(actor.model, shape):
                taken = accepted_shape(actor.model, shape)
                remedy = "that of one of its inputs" if taken is None else str(list(taken))
                raise ValueError(
                    f"{stage}: shape is {list(shape)}, and {name} does not take such inputs ({reason}); set shape to {remedy}, "
                    "or build the models for these"
                ) from error
        raise


@torch.no_grad()
def _made_shape(source: Source, actors: Actors) -> tuple[int, ...] | None:
    """The shape of one input that a source makes; None if it is not known."""
    try:
        if not source.actors:
            made: Any = source.batch(BatchPosition(0)).inputs[DEFAULT_VIEW]
        else:
            maker = actors[source.actors[0]].model
            given = torch.arange(2) if source.generator is None else source.batch(BatchPosition(0)).inputs[DEFAULT_VIEW][:2]
            with preserve_modes(maker):
                made = logits_of(call_model(maker.eval(), given))
    except ERRORS:
        return None
    return tuple(made.shape[1:]) if isinstance(made, Tensor) and made.is_floating_point() else None


@torch.no_grad()
def _refusal(model: torch.nn.Module, shape: tuple[int, ...]) -> str | None:
    """The first line of the error with which a model refuses inputs of a shape; None: it takes them."""
    with preserve_modes(model):
        try:
            call_model(model.eval(), torch.zeros(2, *shape))
        except ERRORS as error:
            return (str(error).splitlines() or [type(error).__name__])[0]
    return None
