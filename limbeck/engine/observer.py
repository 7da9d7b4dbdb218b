"""What a source is told of an update with its batch: signals and losses of all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import cast

import torch
from torch import Tensor

from limbeck.core.forward_cache import ForwardCache
from limbeck.core.references import Reference
from limbeck.core.signals import AnySignal, LinearLogits, Signal, detach
from limbeck.core.source import Observation
from limbeck.engine.binding import BoundUpdate
from limbeck.engine.step_batches import DrawnBatch
from limbeck.utils import distributed


class BatchObserver:
    """Collects what the source of an update wants to know of it; does nothing for sources that want nothing.

    Args:
        one: the update that is carried out.

    Attributes:
        references: signals that the forward cache must keep until they are read.
    """

    def __init__(self, one: BoundUpdate) -> None:
        self.update = one
        wanted = one.source.observes or ()
        self.references = {text: Reference.parse(text, actors=one.criterion.actors) for text in wanted}
        self._signals: dict[str, list[AnySignal]] = {}

    def read(self, forward_cache: ForwardCache) -> None:
        """Reads the signals of one piece of the batch."""
        for text, reference in self.references.items():
            signal = forward_cache.computed(reference)
            if signal is not None:
                signal = signal.dense() if isinstance(signal, LinearLogits) else signal
                self._signals.setdefault(text, []).append(detach(signal))

    def report(self, batch: DrawnBatch, values: Mapping[str, Tensor], progress: float, autocast: torch.dtype | None) -> None:
        """Passes everything to the source.

        Args:
            batch: of the update.
            values: of the terms, on this process.
            progress: of the stage, 0 to 1.
            autocast: of the run.
        """
        one = self.update
        if one.source.observes is None:
            return
        columns = {
            name: [column for piece in batch.pieces if (column := getattr(piece, name)) is not None]
            for name in ("index", "keys")
        }
        index, keys = (_gather(column) if column else None for column in columns.values())
        one.source.observe(
            Observation(
                index,
                keys,
                {text: _gather_signal(pieces) for text, pieces in self._signals.items()},
                {name: distributed.all_reduce_sum(value) for name, value in values.items()},
                tuple(one.update.trains),
                progress,
                autocast,
            )
        )


def _gather(pieces: Sequence[Tensor]) -> Tensor:
    """The rows of the global batch: its parts are numbered (piece, process)."""
    return torch.cat([distributed.all_gather_rows(piece.detach()) for piece in pieces])


def _gather_signal(pieces: list[AnySignal]) -> AnySignal:
    first = pieces[0]
    if isinstance(first, tuple):
        return tuple(map(_gather, zip(*pieces, strict=True)))
    if isinstance(first, Signal):
        return type(first)(**{f.name: _gather([getattr(piece, f.name) for piece in pieces]) for f in fields(first)})
    return _gather(cast("list[Tensor]", pieces))
