"""The targets of a run. A target that cannot be computed is not met and has a reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from limbeck.evaluation.record import Record
from limbeck.evaluation.statistics import Gain
from limbeck.utils.registry import UnknownNameError

# name -> (whether the value must be at least the goal, the reason if there is no value)
TARGETS: dict[str, tuple[bool, str]] = {
    "gain": (True, "the run had no control"),
    "retention": (True, "the run had no teacher, or its metric cannot be told from zero"),
    "compression": (True, "parameters of teacher and student were not both counted"),
    "speedup": (True, "latencies of teacher and student were not both measured"),
    "memory_ratio": (True, "peak memory of teacher and student was not measured for both"),
    "metric": (True, "the student was not evaluated"),
    "parameters": (False, "the student's parameters were not counted"),
    "file_bytes": (False, "the student's file was not measured"),
    "latency_ms": (False, "the student's latency was not measured"),
    "ece": (False, "calibration needs class probabilities"),
}

NO_EFFECT = "no effect: the interval of the gain contains zero"


class Target(Record):
    """A goal and the value reached. `reason`: why it is not met, if the value does not show it."""

    goal: float
    value: float | None
    met: bool
    reason: str | None = None


def check_targets(goals: Mapping[str, float], results: Iterable[str] | None = None) -> None:
    """Checks names and goals before training.

    Args:
        goals: by `TARGET` for the first result, or by `RESULT.TARGET`.
        results: what the run evaluates; None: not known yet, names of results are not checked.

    Raises:
        UnknownNameError: a name is no target, or no result.
        ValueError: a goal is not a finite number.
    """
    known = None if results is None else list(results)
    for name, goal in goals.items():
        result, target = split_target(name)
        if target not in TARGETS:
            raise UnknownNameError("target", name, list(TARGETS))
        if result and known is not None and result not in known:
            raise UnknownNameError(f"result in target {name!r}:", result, known)
        if isinstance(goal, bool) or not isinstance(goal, int | float) or not math.isfinite(goal):
            raise ValueError(f"target {name!r}: the goal is {goal!r}; expected a number")


def split_target(name: str) -> tuple[str, str]:
    """The result and the target of `RESULT.TARGET`; the result of a bare `TARGET`, which is the first, is empty."""
    result, _, target = name.rpartition(".")
    return result, target


def evaluate_targets(
    goals: Mapping[str, float],
    values: Mapping[str, float | None],
    gain: Gain | None,
    *,
    higher_is_better: bool,
    unit: float,
) -> dict[str, Target]:
    """Compares `values` with `goals`.

    The goal of `gain` is in points if the metric is a percentage (`unit` 100: a goal of 1.5 is a gain of 0.015). It is met only
    if the interval of the gain also lies above zero.
    """
    check_targets(goals)
    reached = {**values, "gain": None if gain is None else unit * gain.value}
    found = {name: _target(name, goal, reached.get(name), higher_is_better) for name, goal in goals.items()}
    if gain is not None and "gain" in found and found["gain"].met and gain.ci95[0] <= 0:
        found["gain"] = Target(goal=goals["gain"], value=reached["gain"], met=False, reason=NO_EFFECT)
    return found


def is_floor(name: str, higher_is_better: bool) -> bool:
    """Whether the value must be at least the goal, rather than at most."""
    target = split_target(name)[1]
    return higher_is_better if target == "metric" else TARGETS[target][0]


def _target(name: str, goal: float, value: float | None, higher_is_better: bool) -> Target:
    if value is None:
        return Target(goal=goal, value=None, met=False, reason=TARGETS[name][1])
    met = value >= goal if is_floor(name, higher_is_better) else value <= goal
    return Target(goal=goal, value=value, met=met)
