"""What every objective shares: the contract, the checks and the arithmetic precision."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from limbeck.registry import Registry
from limbeck.signals import AnySignal, LinearLogits, Signal, shape_of

registry = Registry("objective")

UNLABELLED = -100  # the label of an item that has none, as in torch's ignore_index


class Match(Enum):
    """Which axes of student and teacher must agree before they can be compared; an adapter sees to it."""

    NOTHING = "nothing"
    SPACE = "space"  # height and width, or tokens; channel counts may differ
    EVERYTHING = "everything"


class Objective(nn.Module):
    """How two signals are compared: one loss per item, unreduced.

    `forward(student, teacher=None, *, target=None, mask=None, index=None)` returns `[batch]` (or `[batch, tokens]` for
    logits of token sequences). The arithmetic runs in float32, or in float64 when the student signal is float64. The
    teacher side is detached. Inputs are never modified.

    Subclasses implement `compare` and set the class attributes; those that own parameters implement `build`.

    Args of `forward`:
        student, teacher: signals of the shapes the subclass names.
        target: class indices [batch] (-100 marks an item without a label) or class probabilities [batch, classes].
        mask: real tokens, [batch, tokens], or None.
        index: row of each item in the data set [batch], for objectives that remember items between steps.

    Raises:
        ValueError: shapes that do not fit, labels out of range, a teacher that is not finite.
    """

    name: ClassVar[str]
    knowledge: ClassVar[Literal["output", "feature", "relation"]]
    formula: ClassVar[str]
    source: ClassVar[str]
    weight: ClassVar[float] = 1.0  # the weight the paper or its standard benchmark uses
    needs_teacher: ClassVar[bool] = True
    needs_target: ClassVar[bool] = False
    over_batch: ClassVar[bool] = False  # compares items with each other: it must see the gathered global batch
    match: ClassVar[Match] = Match.NOTHING
    ranks: ClassVar[tuple[int, ...]] = ()  # allowed numbers of axes; empty: any
    parts: ClassVar[int] = 1  # how many taps a side has (flow: two)

    validate: bool = True  # value checks (finite teacher, label range) wait for the device; the engine turns them off on GPUs

    def forward(
        self,
        student: AnySignal,
        teacher: AnySignal | None = None,
        *,
        target: Tensor | None = None,
        mask: Tensor | None = None,
        index: Tensor | None = None,
    ) -> Tensor:
        device = _first(student).device.type
        with torch.autocast(device, enabled=False):
            s = _prepare(student)
            t = None if teacher is None else _prepare(teacher, detach=True, like=_first(s))
            self.check(s, t, target)
            if not self.built:
                self.build(_shapes(s), None if t is None else _shapes(t))
            return self.compare(s, t, target=target, mask=mask, index=index)

    def compare(self, student: Any, teacher: Any, *, target: Tensor | None, mask: Tensor | None, index: Tensor | None) -> Tensor:
        """The mathematics: student and teacher arrive in working precision, checked, the teacher detached."""
        raise NotImplementedError(f"{type(self).__name__} defines no compare()")

    @property
    def built(self) -> bool:
        """Whether parameters that depend on shapes exist already; True for objectives without any."""
        return True

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        """Create the parameters that depend on shapes. `student` and `teacher` are shapes (tuples of shapes when the
        objective takes several taps), `samples` is the number of items in the training set. Runs before the optimizer is
        made."""

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        """Refuse what cannot be compared, with the objective and both shapes in the message."""
        if self.needs_teacher and teacher is None:
            raise ValueError(f"{self.name}: needs a teacher signal and got none")
        if self.needs_target and target is None:
            raise ValueError(f"{self.name}: needs labels and got none")
        self._check_parts(student, teacher)
        if self.ranks:
            for side, signal in (("student", student), ("teacher", teacher)):
                for part in _tensors(signal):
                    if part.ndim not in self.ranks:
                        wanted = " or ".join(f"{rank}" for rank in self.ranks)
                        raise ValueError(f"{self.name}: the {side} signal has shape {tuple(part.shape)}; expected {wanted} axes")
        if self.validate and teacher is not None:
            for part in _tensors(teacher):
                if not bool(torch.isfinite(part).all()):
                    raise ValueError(f"{self.name}: the teacher signal of shape {tuple(part.shape)} holds NaN or infinity")
        if target is not None and self.needs_target:
            self._check_target(student, target)

    def _check_parts(self, student: Any, teacher: Any) -> None:
        for side, signal in (("student", student), ("teacher", teacher)):
            count = len(signal) if isinstance(signal, tuple) else 1
            if signal is not None and self.parts > 1 and count != self.parts:
                raise ValueError(f"{self.name}: the {side} side needs {self.parts} taps and got {count}")
        if teacher is None or not self.needs_teacher:
            return
        for s, t in zip(_tensors(student), _tensors(teacher), strict=False):
            if s.shape[0] != t.shape[0] or not self._agree(tuple(s.shape), tuple(t.shape)):
                raise ValueError(f"{self.name}: student {tuple(s.shape)} and teacher {tuple(t.shape)} do not fit; {self._remedy()}")

    def _agree(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> bool:
        if self.match is Match.EVERYTHING:
            return student == teacher
        if self.match is Match.SPACE:
            return len(student) == len(teacher) and student[2:] == teacher[2:]
        return True

    def _remedy(self) -> str:
        needs = {Match.EVERYTHING: "equal shapes are needed", Match.SPACE: "equal height and width are needed"}
        return needs.get(self.match, "equal batches are needed") + " (an adapter makes them so)"

    def _check_target(self, student: Any, target: Tensor) -> None:
        classes = _tensors(student)[0].shape[-1]
        if target.is_floating_point():
            if target.shape[-1] != classes:
                raise ValueError(f"{self.name}: target {tuple(target.shape)} does not fit the {classes} classes of the student")
        elif self.validate and target.numel():
            wrong = (target != UNLABELLED) & ((target < 0) | (target >= classes))
            if bool(wrong.any()):
                first = int(target[wrong][0])
                raise ValueError(f"{self.name}: label {first} is out of range for {classes} classes (0 to {classes - 1})")


def _first(signal: Any) -> Tensor:
    return _tensors(signal)[0]


def _tensors(signal: Any) -> tuple[Tensor, ...]:
    if signal is None:
        return ()
    if isinstance(signal, tuple):
        return signal
    if isinstance(signal, Signal):
        parts = (getattr(signal, field.name) for field in fields(signal))
        return tuple(part for part in parts if isinstance(part, Tensor) and part.is_floating_point())
    return (signal,)


def _shapes(signal: Any) -> Any:
    return shape_of(signal)


def _prepare(signal: Any, *, detach: bool = False, like: Tensor | None = None) -> Any:
    """Working precision (float32 at least), dense where `LinearLogits` came in, cut from the graph for teachers."""
    if isinstance(signal, LinearLogits):
        signal = signal.dense()
    if isinstance(signal, list | tuple):
        return tuple(_prepare(part, detach=detach, like=like) for part in signal)
    if isinstance(signal, Tensor):
        dtype = like.dtype if like is not None else torch.promote_types(signal.dtype, torch.float32)
        signal = signal.to(dtype)
    return signal.detach() if detach else signal
