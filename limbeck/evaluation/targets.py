"""What a run was asked to reach, and whether it did. A target that cannot be computed is not met, and says why."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from limbeck.evaluation.statistics import Gain
from limbeck.utils.registry import UnknownNameError

# name -> (whether the goal is a floor, what is missing when there is no value)
TARGETS: dict[str, tuple[bool, str]] = {
    "gain": (True, "the run had no control to compare with"),
    "retention": (True, "the run had no teacher to compare with, or its metric is zero"),
    "compression": (True, "parameters of teacher and student were not both counted"),
    "speedup": (True, "latencies of teacher and student were not both measured"),
    "memory_ratio": (True, "peak memory of teacher and student was not measured for both"),
    "metric": (True, "the student was not evaluated"),
    "parameters": (False, "the student's parameters were not counted"),
    "file_bytes": (False, "the student's file was not measured"),
    "latency_ms": (False, "the student's latency was not measured"),
    "ece": (False, "calibration needs class probabilities"),
}

NO_EFFECT = "no effect: the interval of the gain holds zero"


class Target(BaseModel):
    """One goal and what became of it. `reason` says why it is not met, where the number alone does not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    goal: float
    value: float | None
    met: bool
    reason: str | None = None


def check_targets(goals: Mapping[str, float]) -> None:
    """Refuse names that are no targets and goals that are no numbers, before anything is trained for them."""
    for name, goal in goals.items():
        if name not in TARGETS:
            raise UnknownNameError("target", name, list(TARGETS))
        if isinstance(goal, bool) or not isinstance(goal, int | float) or not math.isfinite(goal):
            raise ValueError(f"target {name!r}: the goal is {goal!r}; expected a number")


def evaluate_targets(
    goals: Mapping[str, float],
    values: Mapping[str, float | None],
    gain: Gain | None,
    *,
    higher_is_better: bool,
    unit: float,
) -> dict[str, Target]:
    """Hold `values` against `goals`.

    `gain` is asked for in the unit it is shown in: points where the metric is a percentage (`unit` 100: a goal of 1.5
    asks for 0.015). It is met only when the interval of the gain lies above zero as well.
    """
    check_targets(goals)
    shown = {**values, "gain": None if gain is None else unit * gain.value}
    judged = {name: _one(name, goal, shown.get(name), higher_is_better) for name, goal in goals.items()}
    if gain is not None and "gain" in judged and judged["gain"].met and gain.ci95[0] <= 0:
        judged["gain"] = Target(goal=goals["gain"], value=shown["gain"], met=False, reason=NO_EFFECT)
    return judged


def is_floor(name: str, higher_is_better: bool) -> bool:
    """Whether the target asks for at least its goal, rather than at most."""
    return higher_is_better if name == "metric" else TARGETS[name][0]


def _one(name: str, goal: float, value: float | None, higher_is_better: bool) -> Target:
    if value is None:
        return Target(goal=goal, value=None, met=False, reason=TARGETS[name][1])
    met = value >= goal if is_floor(name, higher_is_better) else value <= goal
    return Target(goal=goal, value=value, met=met)
