"""Training curves: `log.jsonl` read into series."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.evaluation.arms import current_name

Curve: TypeAlias = dict[int, float]  # update -> value
Weights: TypeAlias = dict[str, dict[tuple[str, int], tuple[Curve, Curve]]]  # weigher -> (arm, seed) -> mean, spread
ClassWeights: TypeAlias = dict[str, dict[str, dict[int, float]]]  # weigher -> arm -> class -> mean weight
Curves: TypeAlias = dict[str, dict[tuple[str, int], Curve]]  # quantity -> (arm, seed) -> curve


def read_curves(log: Path) -> tuple[Curves, Curves]:
    """Training and validation curves of a `log.jsonl`.

    Skips lines that are no JSON object (a killed run may leave a partial one). Stages follow each other on one axis. Of updates
    that a resumed run logged twice, the last value counts.
    """
    training: Curves = defaultdict(lambda: defaultdict(dict))
    validation: Curves = defaultdict(lambda: defaultdict(dict))
    for who, update, line in _entries(log):
        for curves, key in ((training, "values"), (validation, "validation")):
            for quantity, value in _numbers(line.get(key)):
                curves[quantity][who][update] = value
    return training, validation


def read_weights(log: Path) -> Weights:
    """Mean and spread of the weights of items over the updates, by `TERM.weigher`, which may be a member of an ensemble."""
    found: Weights = defaultdict(lambda: defaultdict(lambda: ({}, {})))
    for who, update, line in _entries(log):
        given = line.get("weights")
        for name, statistics in given.items() if isinstance(given, dict) else ():
            numbers = dict(_numbers(statistics))
            if {"mean", "spread"} <= set(numbers) and all(map(math.isfinite, numbers.values())):
                mean, spread = found[str(name)][who]
                mean[update], spread[update] = numbers["mean"], numbers["spread"]
    return found


def read_class_weights(log: Path) -> ClassWeights:
    """Mean weight of the items of each class in the last quarter of each training, averaged over seeds; by `TERM.weigher`."""
    lines: dict[tuple[str, str], dict[int, list[dict[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for (arm, seed), _, line in _entries(log):
        given = line.get("class_weights")
        for name, by_class in given.items() if isinstance(given, dict) else ():
            numbers = {int(at): value for at, value in _numbers(by_class) if at.isdecimal() and math.isfinite(value)}
            lines[str(name), arm][seed].append(numbers)
    found: ClassWeights = defaultdict(dict)
    for (name, arm), by_seed in lines.items():
        found[name][arm] = _means([_means(history[-max(1, len(history) // 4) :]) for history in by_seed.values()])
    return found


def _means(several: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean of each class over those that have it."""
    values = {at: [one[at] for one in several if at in one] for at in sorted({at for one in several for at in one})}
    return {at: sum(own) / len(own) for at, own in values.items()}


def _entries(log: Path) -> Iterator[tuple[tuple[str, int], int, dict[str, Any]]]:
    """The lines of a log that belong to an update, with the arm and the seed of their training."""
    clock = _Clock()
    for line in _objects(log):
        who = (current_name(str(line.get("arm", "student"))), _whole(line.get("seed")) or 0)
        update = clock.update(who, line)
        if update is not None:
            yield who, update, line


class _Clock:
    """Updates since the start of the run, from steps that count from 0 in every stage."""

    def __init__(self) -> None:
        self.stage: dict[tuple[str, int], int] = {}
        self.start: dict[tuple[tuple[str, int], int], int] = {}
        self.latest: dict[tuple[str, int], int] = defaultdict(int)

    def update(self, who: tuple[str, int], line: Mapping[str, Any]) -> int | None:
        step = _whole(line.get("step", line.get("round")))  # older logs say "round"
        if step is None:
            return None
        stage = _whole(line.get("stage"))
        stage = self.stage.get(who, 0) if stage is None else stage  # validation lines may have no stage
        self.stage[who] = stage
        if (who, stage) not in self.start:
            self.start[who, stage] = self.latest[who]
        update = self.start[who, stage] + step
        self.latest[who] = max(self.latest[who], update)
        return update


def _objects(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                yield content


def _numbers(values: object) -> Iterator[tuple[str, float]]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield str(name), float(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
