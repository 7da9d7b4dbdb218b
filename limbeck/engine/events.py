"""Carries out the events at the borders of stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.core.actors import Actor, Actors
from limbeck.engine.freezing import TrainableParameters
from limbeck.engine.sharding import load_weights
from limbeck.engine.stages import Event, Reinitialise, Snapshot
from limbeck.utils import distributed
from limbeck.utils.seeds import mix_seeds


def apply_events(events: Sequence[Event], actors: Actors, trainable: TrainableParameters, *, seed: int, number: int) -> None:
    """Carries out events in their order; all processes then hold the same weights.

    Args:
        seed: of the run.
        number: index of the stage.

    Raises:
        ValueError: `Snapshot` of an actor that copies no other.
        AttributeError: an actor has no module of this name.
    """
    drawn: list[int] = []
    for event in events:
        actor = actors[event.actor]
        if isinstance(event, Snapshot):
            _take_snapshot(event, actors)
        elif isinstance(event, Reinitialise):
            length = len(event.actor)
            again = [drawn.count(length)] if length in drawn else []  # peers with names of one length start apart
            drawn.append(length)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(mix_seeds(seed, number, length, *again))
                _reinitialise(actor)
        else:
            trainable.apply(event)
        distributed.broadcast_parameters(actor.model)


def _take_snapshot(event: Snapshot, actors: Actors) -> None:
    actor = actors[event.actor]
    if actor.of is None:
        raise ValueError(f"Snapshot({event.actor!r}): this actor copies no other; make it snapshot(…) or average(…)")
    load_weights(actor.model, actors[actor.of].model.state_dict())


def _reinitialise(actor: Actor) -> None:
    if actor.factory is not None:
        load_weights(actor.model, actor.factory().state_dict())
        return
    for module in actor.model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
