"""Temperatures for each item."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, registry
from limbeck.core.weighers.entropy import Entropy


@registry.register("by_confidence")
class ByConfidence(Weigher):
    """T = low + (high − low)·(1 − H/log C): outputs that are certain are softened more; for the `temperature` of a term.

    Args:
        low: T of an item with uniform probabilities.
        high: T of an item with all probability on one class. Below `low`, certain outputs are softened less.
        of: whose confidence: `teacher`, `student` or any reference; see `Entropy`.

    Raises:
        ValueError: a temperature that is not above 0, or a signal that is no dense logits.
    """

    def __init__(self, *, low: float = 1.0, high: float = 4.0, of: str = "teacher") -> None:
        super().__init__()
        for field, value in (("low", low), ("high", high)):
            if not value > 0:
                raise ValueError(f"by_confidence: {field} is {value}; use a value above 0, such as 1")
        self.low, self.high, self.confidence = low, high, Entropy(of)
        self.references = self.confidence.references

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        return self.low + (self.high - self.low) * self.confidence.weigh(signals, batch, student, progress)
