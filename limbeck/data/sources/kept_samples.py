"""`KeptSamples`: samples that are drawn again before new ones are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from limbeck.core.source import BatchPosition
from limbeck.data.sources.sampling import Continuations
from limbeck.utils import distributed


@dataclass
class KeptSamples:
    """Samples that are drawn again, and the batch that is not noted yet.

    Attributes:
        drawn: batches drawn so far.
        columns: rows, tokens and lengths of the kept items.
        position: of the current batch, without its part.
        parts: samples of the current batch by part; None where it was drawn from those that are kept.
    """

    drawn: int = 0
    columns: tuple[Tensor, Tensor, Tensor] | None = None
    position: BatchPosition | None = None
    parts: dict[int, tuple[Tensor, Continuations] | None] = field(default_factory=dict)

    def note(self, position: BatchPosition, rows: Tensor, made: Continuations) -> tuple[Tensor, Continuations]:
        """Remembers new samples until the update is over."""
        self._enter(position)
        self.parts[position.part] = (rows, made)
        return rows, made

    def draw(self, position: BatchPosition, places: Tensor) -> tuple[Tensor, Continuations]:
        """This part of the kept samples in these places."""
        assert self.columns is not None
        self._enter(position)
        self.parts[position.part] = None
        rows, tokens, lengths = self.columns
        places = position.part_of(places).to(rows.device)
        return rows[places].cpu(), Continuations(tokens[places], lengths[places])

    def _enter(self, position: BatchPosition) -> None:
        whole = BatchPosition(position.step, position.seed, 0, position.parts)
        if whole != self.position:
            self.position, self.parts = whole, {}

    def advance(self, batches: int, draws: int) -> None:
        """Keeps the new samples of the current batch; those of all processes, so that every one holds the same."""
        if not self.parts:
            return  # a further update on the same batch
        for _, part in sorted(self.parts.items()):
            if part is None:
                continue
            rows, made = part
            columns = (rows.to(made.tokens.device), made.tokens, made.lengths)
            gathered = [distributed.all_gather_rows(column) for column in columns]
            before = self.columns or [column[:0] for column in gathered]
            pairs = zip(before, gathered, strict=True)
            self.columns = tuple(torch.cat([old.to(new.device), new]) for old, new in pairs)  # type: ignore[assignment]
        self.drawn, self.parts = self.drawn + 1, {}
        if self.drawn % (batches * draws) == 0:
            self.columns = None

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn, **({} if self.columns is None else {"columns": list(self.columns)})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.drawn, self.parts = state["drawn"], {}
        self.columns = tuple(state["columns"]) if "columns" in state else None
