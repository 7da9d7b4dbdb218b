"""The batches of one step, drawn from the sources of its updates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.source import BatchPosition, Source
from limbeck.engine.binding import BoundUpdate
from limbeck.utils import distributed


@dataclass
class DrawnBatch:
    """The share of this process in a global batch.

    Attributes:
        pieces: one for each accumulation step.
        processes: how many share the global batch.
        generated: by piece, the inputs that a generator made of it, once an update has computed them; updates that do not
            train the generator use them again.
    """

    pieces: list[Batch]
    processes: int
    generated: list[Tensor | None]

    def keep_generated(self, number: int, forward_cache: ForwardCache) -> None:
        """Keeps the inputs that a generator has made of a piece, if there is one."""
        if forward_cache.generated is not None:
            self.generated[number] = forward_cache.generated.detach()

    @property
    def items(self) -> int:
        """Items of the global batch."""
        return sum(batch.size for batch in self.pieces) * self.processes


class StepBatches:
    """Draws batches for the updates of one step; updates with the same source share a batch.

    Args:
        step: of the stage.
        seed: of the run.
        accumulate: pieces into which the share of a process is cut.
        device: where the batches are moved to.
    """

    def __init__(self, step: int, seed: int, accumulate: int, device: torch.device) -> None:
        self.step, self.seed, self.accumulate, self.device = step, seed, accumulate, device
        self._drawn: dict[tuple[int, int], DrawnBatch] = {}

    def draw(self, one: BoundUpdate, repeat: int) -> DrawnBatch:
        """Returns the batch for a repetition of an update: a new one each time if the update is `fresh`."""
        number = self.step * one.update.repeat + repeat if one.update.fresh else self.step
        key = (id(one.source), number)
        if key not in self._drawn:
            processes = distributed.world_size()
            pieces = self._pieces(one.source, number, processes)
            self._drawn[key] = DrawnBatch(pieces, processes, [None] * len(pieces))
        return self._drawn[key]

    def _pieces(self, source: Source, number: int, processes: int) -> list[Batch]:
        rank = distributed.rank() if processes > 1 else 0
        parts = self.accumulate * processes
        positions = [BatchPosition(number, self.seed, micro * processes + rank, parts) for micro in range(self.accumulate)]
        return [source.batch(position).to(self.device) for position in positions]
