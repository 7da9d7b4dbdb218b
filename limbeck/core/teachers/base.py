"""Who gives the target, when it is more than one actor's signal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal


class Teacher(nn.Module):
    """Turns the signals it asks for into the target of a term.

    A plain actor needs no `Teacher`: its reference is enough. Buffers of a teacher (tables of past predictions, say) are part
    of the checkpoint; parameters are trained with the step that owns the term.

    Attributes:
        references: the signals it reads, as `actor[@variant][:tap][#view]`; patterns such as `peers.*` stand for several.
    """

    references: Sequence[str] = ()

    @abstractmethod
    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> AnySignal:
        """The target for this batch, from the referenced signals in order."""

    def update(self, student: AnySignal, batch: Batch) -> None:
        """Called after the step's update with what the student said, for teachers that remember."""

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        """Create what depends on shapes, before the optimizer is made."""
