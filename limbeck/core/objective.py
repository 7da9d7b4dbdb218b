"""The base class of all objectives: contract, checks and working precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.core.batch import Target, map_tensors
from limbeck.core.signals import AnySignal, Match, TopK, detach, shape_of, tensors_of, to_working_dtype
from limbeck.core.value_checks import check_labels, is_finite
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

registry = Registry("objective")

Knowledge: TypeAlias = Literal["output", "feature", "relation"]  # what kind of signal an objective compares

# What holds for every objective that does not list it in `exempt`.
PROPERTIES = {
    "minimum": "No student has a lower loss than one that equals the teacher.",
    "stationary": "At equality the gradient is zero.",
    "gradient": "The gradient is the derivative of the value, through every part of it.",
    "permutation": "The loss of an item does not depend on its position in the batch.",
    "independence": "The loss of an item depends on the other items if and only if the objective compares items.",
}
NEEDED = {
    Match.NOTHING: "equal batches are needed",
    Match.SPACE: "equal batches, heights and widths are needed (an adapter makes them so)",
    Match.CHANNELS: "equal batches and channel counts are needed (an adapter makes them so)",
    Match.EVERYTHING: "equal shapes are needed (an adapter makes them so)",
}
OWN_NETWORKS = "its own networks are between student and teacher"


class Objective(nn.Module, ABC):
    """Compares two signals: one loss per item, unreduced.

    `forward(student, teacher=None, *, target=None, mask=None, index=None)` returns `[batch]`, or `[batch, tokens]` for
    logits of token sequences. The arithmetic runs in float32, or in float64 if the student signal is float64. The teacher
    side is detached. Inputs are never modified.

    Subclasses implement `compare` and set the class attributes; those with parameters implement `build`, `built` and
    `restore`. Parameters that are built lazily take device and precision of the student signal.

    Args of `forward`:
        student, teacher: signals of the shapes that the subclass states.
        target: class indices [batch] (-100 marks an item without a label) or class probabilities [batch, classes], or a
            mapping of tensors for objectives on targets of several parts.
        mask: real tokens, [batch, tokens], or None.
        index: row of each item in the data set [batch], for objectives that remember items between steps.
        teacher_gradient: do not detach the teacher side. Only an input that is itself trained (a generator, pixels) needs
            this: its gradient passes through the teacher too.

    Raises:
        ValueError: shapes that do not fit; while `validate`, labels out of range and a teacher that is not finite.
    """

    name: ClassVar[str]
    knowledge: ClassVar[Knowledge]
    formula: ClassVar[str]
    source: ClassVar[str]
    bibtex: ClassVar[str] = ""  # the entry of its paper; empty if there is none to cite
    option_bibtex: ClassVar[Mapping[str, str]] = {}  # hyperparameter to the entry of the paper that introduced it
    weight: ClassVar[float] = 1.0  # the weight that the paper or its standard benchmark uses
    needs_teacher: ClassVar[bool] = True
    needs_target: ClassVar[bool] = False
    over_batch: ClassVar[bool] = False  # compares items with each other, so it must see the gathered global batch
    match: ClassVar[Match] = Match.NOTHING
    ndims: ClassVar[tuple[int, ...]] = ()  # allowed numbers of axes; empty: any
    expects: ClassVar[tuple[str, ...]] = ()  # the signals, if the number of axes does not tell: "scores [B, heads, T, T]"
    tap_kinds: ClassVar[tuple[str, ...]] = ()  # which taps at an encoder layer give them, one for each signal: "scores"
    num_taps: ClassVar[int] = 1  # taps on each side (flow: two); 0: any number
    accepts_top_k: ClassVar[bool] = False  # accepts a `TopK` teacher
    exempt: ClassVar[Mapping[str, str]] = {}  # which of PROPERTIES do not hold, and why
    reads_classes: bool = False  # takes outputs for logits of classes of which one is right, and reads their softmax
    hides_errors: ClassVar[bool] = False  # wrong labels or a teacher that is not finite can give a finite loss
    # Checks of values (finite teacher, label range) read them all and wait for the device: made at the first call in training,
    # by a criterion again where a loss is not finite, and with `hides_errors` at every call on a CPU.
    validate: bool = True
    _forms: object = None  # of the signals that `check` has passed last

    def forward(
        self,
        student: AnySignal,
        teacher: AnySignal | None = None,
        *,
        target: Target | None = None,
        mask: Tensor | None = None,
        index: Tensor | None = None,
        teacher_gradient: bool = False,
    ) -> Tensor:
        if isinstance(student, TopK):
            raise ValueError(f"{self.name}: the student signal is TopK; only a teacher's may be, the student's must be dense")
        first = student if isinstance(student, Tensor) else tensors_of(student)[0]
        kind = "cpu" if first.is_cpu else first.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                given = {"target": target, "mask": mask, "index": index, "teacher_gradient": teacher_gradient}
                return self.forward(student, teacher, **given)  # type: ignore[arg-type]
        s, t = self._checked(student, teacher if teacher_gradient or teacher is None else detach(teacher), target, mask)
        if not self.built:
            self.build(shape_of(s), None if t is None else shape_of(t))
            self.to(first.device, tensors_of(s)[0].dtype)
        try:
            target = target if isinstance(target, Tensor) and not target.requires_grad else map_tensors(target, detach)
            loss = self.compare(s, t, target=target, mask=mask, index=index)
        except (IndexError, RuntimeError):  # a label or an index out of range, on a CPU
            self.recheck(s, t, target=target, mask=mask)
            raise
        if self.validate and self.training and not (self.hides_errors and first.is_cpu):
            self.validate = False
        return loss

    def recheck(self, student: AnySignal, teacher: AnySignal | None, *, target: Any, mask: Tensor | None, **_: Any) -> None:
        """Raises a ValueError if it is due to the teacher or the labels that a loss is not finite or could not be computed."""
        before, self.validate = self.validate, True
        self._checked(student, teacher, target, mask)
        self.validate = before

    def _checked(self, student: Any, teacher: Any, target: Any, mask: Tensor | None) -> tuple[Any, Any]:
        """Both signals in working precision, after the checks."""
        s = to_working_dtype(student)
        t = None if teacher is None else to_working_dtype(teacher, (s if isinstance(s, Tensor) else tensors_of(s)[0]).dtype)
        forms = (_form(s), _form(t), _form(target))
        if self.validate or forms != self._forms:
            self.check(s, t, target)
            self._forms = forms
        if t is not None and self.needs_teacher and self.validate:
            self.check_values(s, t, mask)
        return s, t

    @abstractmethod
    def compare(self, student: Any, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        """Computes the losses. Student and teacher are in working precision and checked, the teacher is detached."""

    def reads_top_k(self, temperature: float | None = None) -> bool:
        """Whether this objective, with its arguments, can read a `TopK` teacher.

        Args:
            temperature: that a term sets; None: the objective's own.
        """
        return self.accepts_top_k

    @property
    def built(self) -> bool:
        """Whether the parameters that depend on shapes exist; True for objectives without any."""
        return True

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        """Creates the parameters that depend on shapes, before the optimizer is made.

        Args:
            student, teacher: shapes, batch axis included; tuples of shapes if the objective takes several taps.
            samples: number of items in the training set.
        """

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Builds from the shapes of saved tensors, so that a checkpoint can be loaded into a fresh instance."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        own = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
        if own and not self.built:
            self.restore(own)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def check(self, student: Any, teacher: Any, target: Any) -> None:
        """Raises a ValueError that names the objective and both shapes if the signals cannot be compared."""
        if self.needs_teacher and teacher is None:
            raise ValueError(f"{self.name}: needs a teacher signal and got none")
        if self.needs_target and target is None:
            raise ValueError(f"{self.name}: needs labels and got none; leave it out of updates on items without labels")
        self._check_ndims("student", student)
        if self.needs_teacher:
            self._check_ndims("teacher", teacher)
            self._check_shapes(student, teacher)
        if target is not None and self.needs_target:
            self._check_target(student, target)

    def _check_ndims(self, side: str, signal: Any) -> None:
        for part in tensors_of(signal):
            if self.ndims and part.ndim not in self.ndims and not isinstance(signal, TopK):
                wanted = " or ".join(map(str, self.ndims))
                raise ValueError(f"{self.name}: the {side} signal has shape {tuple(part.shape)}; expected {wanted} axes")

    def _check_shapes(self, student: Any, teacher: Any) -> None:
        ours, theirs = (len(signal) if isinstance(signal, tuple) else 1 for signal in (student, teacher))
        for side, count in (("student", ours), ("teacher", theirs)):
            if not self._takes(count):
                raise ValueError(f"{self.name}: the {side} side has {count} taps; it needs {self._taps()}")
        if ours != theirs:
            raise ValueError(f"{self.name}: {ours} student taps and {theirs} teacher taps do not fit; pair them one by one")
        if isinstance(teacher, TopK):
            if not self.accepts_top_k:
                raise ValueError(f"{self.name}: needs the teacher's dense signal; TopK holds the largest probabilities only")
            return
        for s, t in zip(tensors_of(student), tensors_of(teacher), strict=True):
            if s.shape[:1] != t.shape[:1] or not self._agree(tuple(s.shape), tuple(t.shape)):
                shapes = f"student {tuple(s.shape)} and teacher {tuple(t.shape)}"
                raise ValueError(f"{self.name}: {shapes} do not fit; {self._remedy()}")

    def _takes(self, taps: int) -> bool:
        return self.num_taps in (0, taps)

    def _taps(self) -> str:
        return f"{self.num_taps}"

    def _agree(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> bool:
        if self.match is Match.EVERYTHING:
            return student == teacher
        if self.match is Match.SPACE:
            return len(student) == len(teacher) and student[2:] == teacher[2:]
        if self.match is Match.CHANNELS:
            return len(student) == len(teacher) and student[1] == teacher[1]
        return True

    def _remedy(self) -> str:
        return NEEDED[self.match]

    def check_values(self, student: Any, teacher: Any, mask: Tensor | None) -> None:
        """Raises a ValueError if the teacher signal is not finite in the entries that the loss uses."""
        for part in tensors_of(teacher):
            if not is_finite(part, self.counted(part, mask)):
                shapes = f"teacher {shape_of(teacher)}, student {shape_of(student)}"
                raise ValueError(f"{self.name}: the teacher signal holds NaN or infinity ({shapes})")

    def counted(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        """Which entries of a signal the loss uses, broadcastable to it; None: all. Objectives on tokens leave out padding."""
        return None

    def _check_target(self, student: Any, target: Any) -> None:
        try:
            check_labels(tensors_of(student)[0].shape, target, values=self.validate)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error


def reads_classes(name: str) -> bool:
    """Whether the objective of this name reads a softmax whatever its arguments are; False if none is registered by it."""
    return name in registry.names() and bool(getattr(registry[name], "reads_classes", False))


def _form(signal: Any) -> object:
    """What decides whether tensors fit; that of other signals is never equal to another, so they are always checked."""
    if isinstance(signal, Tensor):
        return signal.shape, signal.dtype
    return None if signal is None else object()


def require(holds: bool, objective: str, field: str, value: object, remedy: str) -> None:
    """Raises a ValueError unless `holds` and a number is finite; the message names the hyperparameter, value and remedy."""
    if not holds:
        raise ValueError(f"{objective}: {field} is {value!r}; {remedy}")
    require_finite(objective, {field: value})
