"""Weights and temperatures over time: functions of a stage's progress, from 0 at its first step to 1 at its end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, LinearLogits
from limbeck.utils.registry import Registry

registry = Registry("schedule")


class Schedule(ABC):
    """A number as a function of progress in [0, 1]. Schedules multiply: `Warmup(until=0.1) * Cosine()`."""

    @abstractmethod
    def __call__(self, progress: float) -> float: ...

    def __mul__(self, other: Schedule | float) -> Schedule:
        return Product(self, schedule(other))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Product(Schedule):
    """Two schedules multiplied."""

    first: Schedule
    second: Schedule

    def __call__(self, progress: float) -> float:
        return self.first(progress) * self.second(progress)


@registry.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout."""

    value: float = 1.0

    def __call__(self, progress: float) -> float:
        return self.value


@registry.register("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """From `start` to `end` in a straight line between the progress values `begin` and `finish`; flat outside."""

    start: float = 0.0
    end: float = 1.0
    begin: float = 0.0
    finish: float = 1.0

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * _share(progress, self.begin, self.finish)


@registry.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """From `start` to `end` along half a cosine: end + (start − end)(1 + cos πp)/2 (SGDR, 1608.03983)."""

    start: float = 1.0
    end: float = 0.0
    begin: float = 0.0
    finish: float = 1.0

    def __call__(self, progress: float) -> float:
        share = _share(progress, self.begin, self.finish)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


@registry.register("warmup")
@dataclass(frozen=True)
class Warmup(Schedule):
    """A linear rise from `start` to 1 during the first `until` of the stage, then `then` over what remains."""

    until: float = 0.05
    start: float = 0.0
    then: Schedule = Constant()

    def __call__(self, progress: float) -> float:
        if progress < self.until:
            return (self.start + (1 - self.start) * progress / self.until) * self.then(0.0)
        return self.then((progress - self.until) / max(1 - self.until, 1e-12))


@registry.register("step")
@dataclass(frozen=True)
class Step(Schedule):
    """1, multiplied by `factor` each time progress passes one of `at`."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __call__(self, progress: float) -> float:
        return float(self.factor ** sum(progress >= milestone for milestone in self.at))


def _share(progress: float, begin: float, finish: float) -> float:
    return min(max((progress - begin) / max(finish - begin, 1e-12), 0.0), 1.0)


def schedule(value: float | str | Mapping[str, Any] | Schedule) -> Schedule:
    """A schedule from a number, a name, or `{name: {arguments}}` as recipes write it."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, int | float):
        return Constant(float(value))
    if isinstance(value, str):
        built: Schedule = registry.get(value)
        return built
    if len(value) != 1:
        raise ValueError(
            "a schedule is a number or one name with its arguments, such as {linear: {start: 0, end: 1}}; "
            f"got {dict(value)}"
        )
    ((name, given),) = value.items()
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"schedule {name!r}: its arguments are {given!r}; expected a mapping such as {{start: 0, end: 1}}")
    arguments = dict(given or {})
    if "then" in arguments:
        arguments["then"] = schedule(arguments["then"])
    if "at" in arguments:
        arguments["at"] = tuple(arguments["at"])
    built = registry.get(name, **arguments)
    return built


class ItemWeight(ABC):
    """A weight for each item of a batch, computed from what student and teacher say about it; never part of the graph."""

    @abstractmethod
    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor: ...


item_weights = Registry("item weight")


@item_weights.register("teacher_confidence")
@dataclass(frozen=True)
class TeacherConfidence(ItemWeight):
    """1 − H(p_t)/log C: items on which the teacher is sure count more (the weights of EB-KD, Kwon 2020)."""

    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor:
        if teacher is None:
            raise ValueError("teacher_confidence: the term has no teacher signal")
        return 1 - _uncertainty(teacher)


@item_weights.register("student_uncertainty")
@dataclass(frozen=True)
class StudentUncertainty(ItemWeight):
    """H(p_s)/log C: items on which the student is unsure count more (dynamic distillation, Li et al., EMNLP 2021)."""

    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor:
        return _uncertainty(student)


def _uncertainty(logits: AnySignal) -> Tensor:
    """The entropy of softmax(logits) as a share of the largest possible one, from 0 to 1."""
    dense = logits.dense() if isinstance(logits, LinearLogits) else logits
    if not isinstance(dense, Tensor):
        raise ValueError(f"an item weight needs one dense signal of logits; got {type(logits).__name__}")
    log_p = torch.log_softmax(dense.detach().float(), dim=-1)
    return -(log_p.exp() * log_p).sum(-1) / math.log(dense.shape[-1])
