"""The base class of weights and temperatures for each item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal, LinearLogits, detach, shape_of
from limbeck.utils import distributed
from limbeck.utils.registry import Registry

if TYPE_CHECKING:
    from limbeck.core.actors import Actors
    from limbeck.core.references import Reference

registry = Registry("weigher")

Shape = tuple[int, ...] | tuple[tuple[int, ...], ...]


class Weigher(nn.Module, ABC):
    """A weight or a temperature for each item (token, teacher) of a batch, computed from the signals of the step.

    As `item_weight` of a term it multiplies the losses, as `temperature` it replaces the objective's, and as `by` of an
    `Ensemble` it weighs the members. Buffers are part of the checkpoint; change them only while `self.training`, because a dry
    run calls the weigher too. Parameters are trained by the update that has the term; gradient reaches them and nothing else,
    because all signals are detached.

    Attributes:
        references: further signals that it reads, as `actor[@variant][:tap][#view]`; no patterns.
        needs_labels: whether its weights come from labels, which there are none of after the training.
        reads_classes: whether it takes outputs for the logits of classes of which one is right, and reads their softmax.
        reads_adapted: whether `student` is a tuple of what the term's adapters make of the student's signal, one for each
            teacher, instead of the signal itself.
        fields: of the items, that it reads. `check` gets these of all items of a data set before the training.
        exclusive: whether a teacher without weight on an item does not know it, so that none takes the place of one that fails.
    """

    references: Sequence[str] = ()
    needs_labels: bool = False
    reads_classes: bool = False
    reads_adapted: bool = False
    fields: Sequence[str] = ()
    exclusive: bool = False

    def __init__(self) -> None:
        super().__init__()
        self._prepared = False

    @abstractmethod
    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        """The weights of the items `[B]`, of tokens `[B, T]`, or of each teacher for each item `[K, B]` or `[K, B, T]`.

        Args:
            signals: of the term's teacher side (one; one for each actor if it is a pattern; none without a teacher), or of the
                members of an ensemble; then those of `references`. All are detached.
            batch: with targets, keys and index of the items.
            student: the signal of the student's side, detached.
            progress: of the stage, 0 to 1.
        """

    def build(self, signals: Sequence[Shape], student: Shape, *, samples: int | None) -> None:
        """Creates what depends on shapes, before the optimizer is made.

        Args:
            signals, student: shapes of what `weigh` receives, batch axis included.
            samples: number of items in the training set; None if the source has no data set.
        """

    def bind(self, actors: Actors, teachers: Sequence[Reference]) -> None:
        """Receives all actors, and the references of the term's teachers, for weighers that read modules of theirs."""

    def check(self, example: Batch, teachers: int) -> None:
        """Raises a `ValueError` for items that it cannot weigh, before the first step.

        Args:
            example: the first batch; then, if it reads `fields`, all items of the data set with these fields alone.
            teachers: how many there are.
        """

    def prepare(self, signals: Sequence[AnySignal], student: AnySignal, device: torch.device, samples: int | None) -> None:
        """Calls `build` once, with the shapes of these signals."""
        if not self._prepared:
            self.build([shape_of(signal) for signal in signals], shape_of(student), samples=samples)
            self.to(device)
            self._prepared = True

    def forward(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        """`weigh` of the detached signals; without gradient, unless the weigher has parameters."""
        own = [detach(signal) for signal in signals]
        with torch.autocast(batch.device.type, enabled=False):
            weights = self.weigh(own, batch, detach(student), progress)
        return weights if any(True for _ in self.parameters()) else weights.detach()

    def of_all_processes(self, values: Tensor) -> tuple[Tensor, slice]:
        """A value for each item of the global batch, and which of them are this process's; outside training its own alone.

        For weighers that compare the items of a batch, whose weights then do not depend on the number of processes.
        """
        if not self.training:
            return values, slice(None)
        first = distributed.rank() * len(values)
        return distributed.all_gather_rows(values), slice(first, first + len(values))

    def own(self, signals: Sequence[AnySignal]) -> list[AnySignal]:
        """The signals of the teachers, without those of `references`."""
        return list(signals[: len(signals) - len(self.references)])


def weigher(value: str | Mapping[str, Any] | Weigher) -> Weigher:
    """Converts a name, or the recipe form `{name: {arguments}}`, to a weigher.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    built: Weigher = registry.part(value, Weigher, "{entropy: {of: student}}")
    return built


def class_logits(signal: AnySignal) -> Tensor:
    """`dense_logits` of two classes or more; raises a ValueError for one class, whose softmax is 1 whatever the logit is."""
    dense = dense_logits(signal)
    if dense.shape[-1] < 2:
        raise ValueError(
            f"an item weight compares classes, and logits of shape {tuple(dense.shape)} are of one class, of which every item "
            "is sure; give the models an output for each of two classes or more, or use a fixed weight or temperature"
        )
    return dense


def dense_logits(signal: AnySignal) -> Tensor:
    """Logits as one tensor in float32, or in float64 if they are; raises a ValueError for other signals."""
    dense = signal.dense() if isinstance(signal, LinearLogits) else signal
    if not isinstance(dense, Tensor):
        raise ValueError(f"an item weight needs one dense signal of logits; got {type(signal).__name__}")
    return dense.to(torch.promote_types(dense.dtype, torch.float32))
