"""Schedules of weights, temperatures and learning rates: functions of a stage's progress, 0 at its first step, 1 at its end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

registry = Registry("schedule")
PROGRESS = ("begin", "finish", "until", "at")  # fields that are values of progress


def _check_progress(field: str, value: float | tuple[float, ...]) -> None:
    for each in value if isinstance(value, tuple) else (value,):
        if not 0 <= each <= 1:
            raise ValueError(f"{field} is {each:g}; expected a share of the stage, from 0 at its first step to 1 at its end")


class Schedule(ABC):
    """A number as a function of progress in [0, 1]. Schedules can be multiplied: `Warmup(until=0.1) * Cosine()`.

    Raises:
        ValueError: numbers that are not finite; a begin, finish, until or at outside [0, 1].
    """

    def __post_init__(self) -> None:  # of dataclasses
        given = vars(self)
        require_finite(type(self).__name__, given)
        for field in PROGRESS:
            _check_progress(f"{type(self).__name__}: {field}", given.get(field, 0))
        if given.get("finish", 1) < given.get("begin", 0):
            raise ValueError(
                f"{type(self).__name__}: begin is {given['begin']:g} and finish {given['finish']:g}; exchange them"
            )

    @abstractmethod
    def __call__(self, progress: float) -> float: ...

    def __mul__(self, other: Schedule | float) -> Schedule:
        return Product(self, schedule(other))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Product(Schedule):
    """The product of two schedules."""

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
    """Linear from `start` to `end` between the progress values `begin` and `finish`; constant outside."""

    start: float = 0.0
    end: float = 1.0
    begin: float = 0.0
    finish: float = 1.0

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * _share(progress, self.begin, self.finish)


@registry.register(
    "cosine",
    cite="""
        @inproceedings{loshchilov2017sgdr,
            title = {{SGDR}: Stochastic Gradient Descent with Warm Restarts},
            author = {Loshchilov, Ilya and Hutter, Frank},
            booktitle = {International Conference on Learning Representations},
            year = {2017},
            eprint = {1608.03983},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `start` to `end`: end + (start − end)(1 + cos πp)/2 (SGDR, 1608.03983)."""

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
    """Linear from `start` to 1 over the first `until` of the stage, then `then` over the rest of it."""

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
    """1, multiplied by `factor` at each progress value in `at`."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __call__(self, progress: float) -> float:
        return float(self.factor ** sum(progress >= milestone for milestone in self.at))


def _share(progress: float, begin: float, finish: float) -> float:
    return min(max((progress - begin) / max(finish - begin, 1e-12), 0.0), 1.0)


def schedule(value: float | str | Mapping[str, Any] | Schedule) -> Schedule:
    """Converts a number, a name, or the recipe form `{name: {arguments}}` to a schedule."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, int | float):
        return Constant(float(value))
    if isinstance(value, str):
        built: Schedule = registry.get(value)
        return built
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError(
            f"a schedule is a number or one name with its arguments, such as {{linear: {{start: 0, end: 1}}}}; got {value!r}"
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
