"""Carries out one training of a federation over any grid of Flower, and continues it after the server was stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import Grid

from limbeck.engine.checkpoint import FILE, load_checkpoint, save_checkpoint
from limbeck.integrations.flower.grid import InProcessGrid
from limbeck.integrations.flower.strategy import FederatedStrategy

RoundCallback = Callable[[FederatedStrategy], None]


def carry_out(
    strategy: FederatedStrategy,
    grid: Grid,
    *,
    folder: Path | None = None,
    resume: bool = False,
    on_round: RoundCallback | None = None,
) -> FederatedStrategy:
    """Runs all rounds that are left, and writes a checkpoint after each.

    Args:
        folder: of the checkpoint; None: nothing is written.
        resume: go on from the checkpoint in the folder, if there is one.
        on_round: called after each round.
    """
    if resume and folder is not None and (folder / FILE).exists():
        state = load_checkpoint(folder)
        strategy.load_state_dict(state)
        if isinstance(grid, InProcessGrid):  # real clients keep their own state
            grid.load_state_dict(state["clients"])
    left = strategy.recipe.federated.rounds - strategy.offset

    def after_round(number: int, _: ArrayRecord) -> MetricRecord | None:
        if number == 0:  # before the first round
            return None
        if folder is not None:
            kept: dict[str, Any] = strategy.state_dict()
            kept["clients"] = grid.state_dict() if isinstance(grid, InProcessGrid) else {}
            save_checkpoint(folder, kept)
        if on_round is not None:
            on_round(strategy)
        return None

    if left > 0:
        with without_flower_logs():
            timeout = strategy.recipe.federated.timeout
            strategy.start(grid, strategy.arrays, num_rounds=left, timeout=timeout, evaluate_fn=after_round)
    return strategy


@contextmanager
def without_flower_logs() -> Iterator[None]:
    """Flower logs each step at level INFO; the records of the rounds hold the same."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
