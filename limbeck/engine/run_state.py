"""The state of a run in its checkpoints: everything that determines how the run continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from limbeck.core.actors import Actors, Role
from limbeck.core.source import Source
from limbeck.engine.binding import BoundUpdate
from limbeck.engine.clock import Clock
from limbeck.engine.sharding import load_weights
from limbeck.engine.stages import Stage


def run_state(
    clock: Clock,
    actors: Actors,
    updates: Sequence[BoundUpdate],
    scaler: torch.amp.GradScaler,
    sources: Sequence[Source] = (),
    stages: Sequence[Stage] = (),
) -> dict[str, Any]:
    """Returns the clock, all models that change, criteria and optimizers of the current stage, all sources, and how long the
    stages are."""
    return {
        "clock": vars(clock).copy(),
        "stages": _lengths(stages),
        "actors": {name: actor.model.state_dict() for name, actor in actors.items() if actor.role is not Role.FROZEN},
        "updates": [one.state_dict() for one in updates],
        "scaler": scaler.state_dict(),
        "sources": [source.state_dict() for source in sources],
    }


def check_same_stages(state: Mapping[str, Any], stages: Sequence[Stage], folder: Path | None) -> None:
    """Raises ValueError if a checkpoint is of a training with other stages; those of older versions do not say which."""
    before, now = state.get("stages"), _lengths(stages)
    if before is not None and before != now:
        raise ValueError(
            f"{folder} holds checkpoints of a training of {', then '.join(before)}, and this one has {', then '.join(now)}; "
            "continue with the same stages, or choose another folder"
        )


def _lengths(stages: Sequence[Stage]) -> list[str]:
    return [f"{stage.length.count:g} {stage.length.unit}" for stage in stages]


def distinct_sources(stages: Sequence[Stage], source: Source | None) -> list[Source]:
    """Returns the sources of a run in the order of its updates, each once.

    Args:
        source: of the updates that name none.
    """
    all_sources = [update.source or source for stage in stages for update in stage.updates]
    return list({id(each): each for each in all_sources if each is not None}.values())


def load_actors(state: Mapping[str, Any] | None, actors: Actors) -> None:
    """Does nothing if there is no state."""
    for name, tensors in ({} if state is None else state["actors"]).items():
        load_weights(actors[name].model, tensors)


def load_sources(state: Mapping[str, Any] | None, sources: Sequence[Source]) -> None:
    """Does nothing if there is no state; checkpoints of older versions hold none of sources."""
    for source, saved in zip(sources, (state or {}).get("sources", []), strict=False):
        source.load_state_dict(saved)


def load_updates(state: Mapping[str, Any], updates: Sequence[BoundUpdate], scaler: torch.amp.GradScaler) -> None:
    """Only for a state that was taken within the stage of these updates."""
    for one, saved in zip(updates, state["updates"], strict=True):
        one.load_state_dict(saved)
    if scaler.is_enabled():
        scaler.load_state_dict(state["scaler"])
