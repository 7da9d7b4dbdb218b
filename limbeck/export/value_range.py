"""The range of values that a file of images accepts: bytes and values normalised outside are refused when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from limbeck.export.errors import ExportError

# how far outside the range a value may lie: resampling overshoots a little, bytes and normalised values by far
ABOVE, BELOW = 1.0, 0.5


class ValueRange(NamedTuple):
    """The range of image values, and `least` and `most`, beyond which a file fails."""

    lowest: float
    highest: float

    @property
    def least(self) -> float:
        return self.lowest - BELOW

    @property
    def most(self) -> float:
        return self.highest + ABOVE


def range_of(info: Mapping[str, Any] | None) -> ValueRange | None:
    """The range in what a file says of itself; None for other inputs than images."""
    return ValueRange(*info["value_range"]) if info and "value_range" in info else None


def other_range(path: object, *, high: bool) -> ExportError:
    """The error for values above the range of a file, or below it."""
    remedy = "Divide bytes by 255" if high else "Do not normalise them: the file does what its model needs"
    return ExportError(f"{path} reads numbers from 0 to 1, not these inputs", remedy)


class RangeChecked(nn.Module):
    """Lets a traced model fail on values outside the range, in a runtime that has no assertions.

    A lookup in a table of one entry stands for the assertion: inside the range its index is 0, outside 1, which the runtime
    refuses. The entry, 0, is added to the outputs, so that no optimisation removes the lookup.
    """

    table: Tensor

    def __init__(self, model: nn.Module, allowed: ValueRange) -> None:
        super().__init__()
        self.model, self.allowed = model, allowed
        self.register_buffer("table", torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        outside = (inputs.amax() > self.allowed.most) | (inputs.amin() < self.allowed.least)
        outputs: Tensor = self.model(inputs) + self.table.index_select(0, outside.long().reshape(1))
        return outputs
