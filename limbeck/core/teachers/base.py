"""The base class of targets that are more than the signal of one actor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal


class Teacher(nn.Module):
    """Makes the target of a term from the signals that it references.

    Buffers of a teacher (a table of past predictions, say) are part of the checkpoint; its parameters are trained by the
    update that has the term.

    Attributes:
        references: the signals it needs, as `actor[@variant][:tap][#view]`; patterns such as `peers.*` match several.
    """

    references: Sequence[str] = ()

    @abstractmethod
    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> AnySignal:
        """The target of this batch, from the referenced signals in their order."""

    def update(self, student: AnySignal, batch: Batch) -> None:
        """Called after the weights were updated, with the student's signal, for teachers that keep a state."""

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        """Creates what depends on the student's shape, before the optimizer is made."""
