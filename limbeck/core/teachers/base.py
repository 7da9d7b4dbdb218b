"""The base class of targets that are more than the signal of one actor, and their registry."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.utils.registry import Registry

if TYPE_CHECKING:
    from limbeck.core.references import Reference

registry = Registry("teacher")


class Teacher(nn.Module):
    """Makes the target of a term from the signals that it references.

    Buffers of a teacher (a table of past predictions, say) are part of the checkpoint; its parameters are trained by the
    update that has the term.

    Attributes:
        references: the signals it needs, as `actor[@variant][:tap][#view]`; patterns such as `peers.*` match several.
        reads_classes: whether it takes outputs for the logits of classes of which one is right, and reads their softmax.
        own: whether a pattern also matches the actor on the student's side of the term.
        progress: of the stage, 0 to 1; set before every call of `make_target`.
        given_weights: what the last call weighed its signals with, by name; a weight for each item. They are logged.
    """

    references: Sequence[str] = ()
    reads_classes: bool = False
    own: bool = False
    progress: float = 0.0
    given_weights: Mapping[str, Tensor] = {}

    @abstractmethod
    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> AnySignal:
        """The target of this batch, from the referenced signals in their order."""

    def choose(self, references: Sequence[Reference]) -> Sequence[Reference]:
        """Which of its signals this batch needs; only these are computed and passed to `make_target`. By default all."""
        return references

    def update(self, student: AnySignal, batch: Batch) -> None:
        """Called after the weights were updated, with the student's signal, for teachers that keep a state."""

    def describe(self) -> dict[str, Any] | None:
        """The arguments that build it again, in their recipe form, if a module of it can be saved; None: it cannot."""
        return None

    def bind(self, signals: Sequence[str]) -> None:
        """Receives the names of the signals that `make_target` will get: the references, patterns written out."""

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        """Creates what depends on the student's shape, before the optimizer is made."""


def named_signals(part: str, of: str | Sequence[str]) -> tuple[str, ...]:
    """The signals that a part is made of, from one name or pattern, or a list of them.

    Raises:
        ValueError: there is none, or a name is no text.
    """
    names = (of,) if isinstance(of, str) else tuple(of)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{part}: of is {of!r}; expected names of signals, such as [first, second], or a pattern: peers.*")
    return names


def teacher(value: Mapping[str, Any]) -> Teacher:
    """Converts the recipe form `{name: {arguments}}` to a teacher, e.g. `{ensemble: {of: "teachers.*"}}`.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    built: Teacher = registry.part(value, Teacher, '{ensemble: {of: "peers.*"}}')
    return built
