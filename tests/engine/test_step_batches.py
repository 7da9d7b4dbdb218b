"""Batches of a step: shared by source, drawn anew where an update asks for it, cut into pieces."""

from __future__ import annotations

from typing import Any

import torch

from limbeck.core.actors import Actors, trained
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Stage, Update, steps
from limbeck.engine.binding import BoundUpdate, bind_updates
from limbeck.engine.step_batches import StepBatches
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs, net

CPU = torch.device("cpu")


def bound(*options: dict[str, Any]) -> list[BoundUpdate]:
    updates = [Update([Term(HardTargets())], **each) for each in options]
    actors = Actors({"student": trained(net(8))})
    return bind_updates(Stage(updates, steps(4), Optimizer()), actors, Blobs(), {}, seed=0, number=0, device=CPU)


def rows(batches: StepBatches, one: BoundUpdate, repeat: int = 0) -> list[list[int]]:
    return [piece.index.tolist() for piece in batches.draw(one, repeat).pieces if piece.index is not None]


def test_updates_with_one_source_share_its_batch() -> None:
    first, second, other = bound({}, {}, {"source": Blobs()})
    batches = StepBatches(3, seed=0, accumulate=1, device=CPU)
    assert batches.draw(first, 0) is batches.draw(second, 0)
    assert batches.draw(first, 0) is not batches.draw(other, 0)


def test_repetitions_draw_again_only_if_fresh() -> None:
    same, fresh = bound({"repeat": 2}, {"repeat": 2, "fresh": True})
    batches = StepBatches(3, seed=0, accumulate=1, device=CPU)
    assert rows(batches, same, 0) == rows(batches, same, 1)
    assert rows(batches, fresh, 0) != rows(batches, fresh, 1)
    following = StepBatches(4, seed=0, accumulate=1, device=CPU)
    drawn = [rows(each, fresh, repeat)[0] for each in (batches, following) for repeat in (0, 1)]
    assert len(set(map(tuple, drawn))) == 4


def test_pieces_make_up_the_global_batch() -> None:
    (one,) = bound({})
    whole, pieces = (StepBatches(0, seed=0, accumulate=count, device=CPU) for count in (1, 4))
    assert sum(rows(pieces, one), []) == rows(whole, one)[0]  # noqa: RUF017
    assert pieces.draw(one, 0).items == whole.draw(one, 0).items == 16
