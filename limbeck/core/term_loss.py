"""The loss of one term on one batch: its signals are read, adapted, compared and summed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeGuard

import torch
from torch import Tensor

from limbeck.core.adapters import TapAdapters, TeacherAdapters
from limbeck.core.batch import Batch
from limbeck.core.errors import TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.model_io import LOGITS
from limbeck.core.references import Reference
from limbeck.core.schedules import Schedule
from limbeck.core.signals import AnySignal, LinearLogits, detach, working_dtype
from limbeck.core.teachers import Teacher
from limbeck.core.teachers.failing import can_be_read, owned_weights, shared_weights, warn_of_failing, without_failing
from limbeck.core.terms import Term
from limbeck.core.view_positions import match_positions
from limbeck.core.weight_statistics import WeightStatistics
from limbeck.utils import distributed
from limbeck.utils.constants import constant

CLASSES = 100  # up to so many the log has the mean weight of each
FEW = 4096  # losses of so many items or tokens are summed by a product


class TermLoss:
    """A bound term with its adapter, ready to be evaluated.

    Attributes:
        term: the term, bound to actors.
        plan: which actors the criterion trains.
        trains: the actors that the gradient of this term may change.
        trains_generator: whether the actor that makes the inputs is among them; gradient then passes through the teacher too.
        view: of the student, at whose positions the losses are.
        adapter: makes the shapes of student and teacher agree; of several teachers each has its own.
        per_token: whether the objective returns one loss for each token, `[batch, tokens]`, instead of one for each item.
        last_uses: signals that no later term of the criterion reads.
        statistics: of the weights of items, since they were last read.
    """

    def __init__(self, term: Term, plan: GradientPlan) -> None:
        self.term, self.plan = term, plan
        self.trains = plan.trains if term.trains is None else frozenset(term.trains)
        self.trains_generator = plan.trains_generator and plan.generator in self.trains
        self.adapter: TapAdapters | TeacherAdapters = TapAdapters([])
        self.per_token = False
        self.last_uses: set[Reference] = set()
        self.statistics = WeightStatistics()
        self.view = term.students[0].view
        self._weighers = term.weighers
        self._temperature = term.temperature if isinstance(term.temperature, Schedule) else None
        self._teacher = term.teacher if isinstance(term.teacher, Teacher) else None
        self._students = [(r, bool(plan.reached_from(r.actor) & self.trains)) for r in term.students]  # and whether attached
        self._gives_weights = bool(term.weighers) or self._teacher is not None
        self._warned: set[str] = set()

    def mean(
        self,
        forward_cache: ForwardCache,
        batch: Batch,
        progress: float,
        mask: Tensor | None,
        count: Tensor | float,
        *,
        gathered: bool,
    ) -> Tensor:
        """Σ loss·mask·item_weight over the batch ÷ `count`; the mean over the teachers where the term averages losses.

        Args:
            mask: 1 where an item or token counts; None: all count.
            count: how many count, in all pieces of the global batch.
            gathered: whether `batch` is one process's share of a global batch, which objectives that compare items gather.
        """
        if self._temperature is not None:
            self.term.objective.temperature = self._temperature(progress)  # type: ignore[assignment]
        student = self.student_signal(forward_cache)
        targets = self.teacher_signals(forward_cache, batch, student, progress)
        if self.adapter.is_identity and len(targets) < 2 and not self._gives_weights:
            return self._mean(student, targets[0] if targets else None, batch, mask, count, {}, gathered)
        teachers, finite = self.without_failing(targets)
        pairs = self.pairs(student, teachers)
        weights = self.weights(forward_cache, batch, student, teachers, pairs, progress)
        alive = None if finite is None else _among_finite(weights, finite, batch.size, self.term)
        self._record(weights, batch, student)
        means = []
        for number, (ours, theirs) in enumerate(pairs):
            own = {name: of_teacher(weight, number, len(teachers), batch.size) for name, weight in weights.items()}
            counted = mask
            if alive is not None:
                counted = alive[number] if mask is None else mask * alive[number]
            means.append(self._mean(ours, theirs, batch, counted, count, own, gathered))
        return torch.stack(means).mean() if len(means) > 1 else means[0]

    def pairs(self, student: AnySignal, teachers: Sequence[Any]) -> list[tuple[Any, Any]]:
        """The signals as they are compared with each teacher: adapted to equal shapes."""
        if isinstance(self.adapter, TeacherAdapters):
            return self.adapter(student, teachers)  # type: ignore[no-any-return]
        if self.adapter.is_identity:
            return [(student, teacher) for teacher in teachers] or [(student, None)]
        return [self.adapter(student, teacher) for teacher in teachers] or [(student, None)]

    def weights(
        self,
        forward_cache: ForwardCache,
        batch: Batch,
        student: AnySignal,
        teachers: Sequence[Any],
        pairs: Sequence[tuple[Any, Any]],
        progress: float,
    ) -> dict[str, Tensor]:
        """What the term's weighers give, by name: `item_weight`, `temperature`.

        Args:
            pairs: the adapted signals, for weighers that read these.
        """
        given = {}
        for name, weigher in self._weighers.items():
            signals = [*teachers, *(self.read(forward_cache, reference) for reference in self.term.further[name])]
            ours = tuple(adapted for adapted, _ in pairs) if weigher.reads_adapted else student
            with naming(self.term):
                given[name] = weigher(signals, batch, ours, progress)
        return given

    def without_failing(self, teachers: Sequence[Any]) -> tuple[Sequence[Any], Tensor | None]:
        """The targets of several teachers without NaN, and which of them are finite, `[K, …]`; None: all."""
        if len(teachers) < 2 or not all(isinstance(signal, Tensor) for signal in teachers):
            return teachers, None
        cleaned, finite = without_failing(teachers, 2 if self.per_token else 1)
        if can_be_read(finite) and bool(finite.all()):
            return cleaned, None
        if not _is_exclusive(self.term):
            warn_of_failing(finite, list(map(str, self.term.teachers)), self._warned)
        return cleaned, finite

    def _record(self, weights: Mapping[str, Tensor], batch: Batch, student: AnySignal) -> None:
        """Notes the weights of this batch for the log; an ensemble's by the name of its member."""
        given = weights if self._teacher is None else {**weights, **self._teacher.given_weights}
        if not given:
            return
        labels, classes = _labels(self.term, batch, student)
        for name, weight in given.items():
            self.statistics.add(name, weight, labels, classes)

    def read(self, forward_cache: ForwardCache, reference: Reference) -> Any:
        """A signal at the positions of the student's view: the i-th that counts is the i-th that counts in its own view."""
        signal = forward_cache[reference]
        if reference.view == self.view:
            return signal
        try:
            return match_positions(signal, forward_cache.batch, reference, self.view, check=self.term.objective.validate)
        except ValueError as error:
            raise_named(error, self.term)

    def student_signal(self, forward_cache: ForwardCache) -> AnySignal:
        """The student's signal, detached where this term does not train what lies upstream of it."""
        signals = []
        for reference, attached in self._students:
            signal = self.read(forward_cache, reference)
            signals.append(signal if attached else detach(signal))
        joined: AnySignal = join(signals)
        return joined

    def teacher_signals(
        self, forward_cache: ForwardCache, batch: Batch, student: AnySignal, progress: float = 0.0
    ) -> list[Any]:
        """The targets: one, one for each teacher where the losses are averaged, or none."""
        teacher = self._teacher
        references = self.term.teachers if teacher is None else teacher.choose(self.term.teachers)
        signals: list[Any] = [self.read(forward_cache, reference) for reference in references]
        if teacher is not None:
            teacher.progress = progress
            inputs = signals if self.trains_generator else [detach(signal) for signal in signals]
            try:
                return [teacher.make_target(inputs, batch, student)]
            except ValueError as error:
                raise_named(error, self.term)
        return signals if len(signals) < 2 or self.term.averages_losses else [join(signals)]

    def _mean(
        self,
        student: Any,
        teacher: Any,
        batch: Batch,
        mask: Tensor | None,
        count: Tensor | float,
        weights: Mapping[str, Tensor],
        gathered: bool,
    ) -> Tensor:
        term = self.term
        target, index, tokens, weight = batch.target, batch.index, batch.counted_in(self.view), batch.weight
        temperature, item_weight = weights.get("temperature"), weights.get("item_weight")
        learned = temperature is not None and temperature.requires_grad
        if temperature is not None:
            if learned and teacher is not None and not self.trains_generator:
                teacher = detach(teacher)  # the gradient of the temperature passes through both sides, and goes no further
            student, teacher = soften(student, temperature), soften(teacher, temperature)
        across = gathered and term.objective.over_batch and distributed.world_size() > 1
        if across:
            student, teacher = _gather(student), _gather(teacher)
            target, index, tokens, mask, weight = (_gather(one) for one in (target, index, tokens, mask, weight))
            temperature, item_weight = _gather(temperature), _gather(item_weight)
        teacher_learns = self._teacher is not None and any(True for _ in self._teacher.parameters())
        keywords: dict[str, Any] = {
            "target": target,
            "mask": tokens,
            "index": index,
            "teacher_gradient": learned or self.trains_generator or teacher_learns,
        }
        # Every process computes a gathered loss in full, so the gradient of the objective's own parameters is shared out.
        parameters = {n: distributed.replicated(p) for n, p in term.objective.named_parameters()} if across else {}
        try:
            if parameters:
                loss: Tensor = torch.func.functional_call(term.objective, parameters, (student, teacher), keywords)
            else:
                loss = term.objective(student, teacher, **keywords)
            for factor in (mask, weight, item_weight, None if temperature is None else temperature.square()):
                if factor is not None:
                    loss = loss * expand(factor, loss)
            mean = divided_sum(loss, count)
            if mean.is_cpu and not math.isfinite(mean.item()):  # elsewhere this would wait for the device
                term.objective.recheck(student, teacher, **keywords)
        except ValueError as error:
            raise_named(error, term)
        return mean


def divided_sum(loss: Tensor, count: Tensor | float) -> Tensor:
    """Σ loss ÷ count: on a CPU the same number, whether the count is known from a shape or from a mask."""
    if isinstance(count, Tensor) and count.is_cpu:
        count = count.item()
    if isinstance(count, Tensor) or loss.numel() > FEW:
        return loss.sum() / count
    return torch.dot(loss.flatten(), constant(loss.numel(), 1 / count, loss.dtype, loss.device))


def _labels(term: Term, batch: Batch, student: AnySignal) -> tuple[Tensor | None, int]:
    """The labels and the number of classes, if a term reads the logits of a classifier of at most `CLASSES`."""
    target = batch.target
    if not isinstance(student, Tensor) or student.ndim != 2 or term.students[0].tap != LOGITS:
        return None, 0
    if not isinstance(target, Tensor) or target.dtype != torch.int64 or target.ndim != 1:
        return None, 0
    classes = student.shape[-1]
    return (target, classes) if classes <= CLASSES else (None, 0)


def join(signals: Sequence[AnySignal]) -> Any:
    """One signal as it is, several as a tuple."""
    return signals[0] if len(signals) == 1 else tuple(signals)


@contextmanager
def naming(term: Term) -> Iterator[None]:
    """A context that adds the name and the taps of a term to a ValueError that is raised inside."""
    try:
        yield
    except ValueError as error:
        raise_named(error, term)


def raise_named(error: ValueError, term: Term) -> NoReturn:
    """Raises the error of a term with the term's name and taps in its message; as it is if they are there."""
    if isinstance(error, TermError):
        raise error
    taps = f"student {' '.join(map(str, term.students))}"
    if term.teachers:
        taps += f", teacher {' '.join(map(str, term.teachers))}"
    raise TermError(f"term {term.name!r} ({taps}): {error}") from error


def of_teacher(weight: Tensor, number: int, teachers: int, items: int) -> Tensor:
    """The weights for the loss of one teacher: a row if there is one for each teacher, else all."""
    return weight[number] if _by_teacher(weight, teachers, items) else weight


def _by_teacher(weight: Tensor | None, teachers: int, items: int) -> TypeGuard[Tensor]:
    return weight is not None and weight.ndim > 1 and weight.shape[:2] == (teachers, items)


def _is_exclusive(term: Term) -> bool:
    """Whether a teacher without weight on an item does not know it."""
    return "item_weight" in term.weighers and term.weighers["item_weight"].exclusive


def _among_finite(weights: dict[str, Tensor], finite: Tensor, items: int, term: Term) -> Tensor | None:
    """What each teacher counts in the mean, `[K, …]`, if some fail; None: the weights of teachers say it, changed in place."""
    given = weights.get("item_weight")
    if not _by_teacher(given, len(finite), items):
        return shared_weights(torch.ones_like(finite, dtype=torch.float32), finite)
    if _is_exclusive(term):
        with naming(term):
            weights["item_weight"] = owned_weights(given, finite, list(map(str, term.teachers)))
    else:
        weights["item_weight"] = shared_weights(given, finite)
    return None


def soften(signal: Any, temperature: Tensor) -> Any:
    """The logits of each item divided by its own temperature, `[batch]` or `[batch, tokens]`."""
    if isinstance(signal, LinearLogits):
        signal = signal.dense()
    if signal is None:
        return None
    if not isinstance(signal, Tensor):
        raise ValueError(f"a temperature for each item needs dense logits on both sides; got {type(signal).__name__}")
    return signal.to(working_dtype(signal)) / expand(temperature, signal)


def _gather(signal: Any) -> Any:
    if isinstance(signal, Mapping):
        return {name: _gather(part) for name, part in signal.items()}
    if isinstance(signal, tuple):
        return tuple(_gather(part) for part in signal)
    if isinstance(signal, LinearLogits):
        signal = signal.dense()
    return signal if signal is None else distributed.all_gather_rows(signal)


def expand(weight: Tensor, loss: Tensor) -> Tensor:
    """A weight for each item or token, with trailing axes so that it multiplies the losses."""
    if weight.shape != loss.shape[: weight.ndim]:
        raise ValueError(f"weights or a mask of shape {tuple(weight.shape)} do not fit losses of shape {tuple(loss.shape)}")
    return weight.view(*weight.shape, *[1] * (loss.ndim - weight.ndim))
