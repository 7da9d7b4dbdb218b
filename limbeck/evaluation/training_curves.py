"""Training curves: `log.jsonl` read into series."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.evaluation.arms import current_name

Curve: TypeAlias = dict[int, float]  # update -> value
Curves: TypeAlias = dict[str, dict[tuple[str, int], Curve]]  # quantity -> (arm, seed) -> curve


def read_curves(log: Path) -> tuple[Curves, Curves]:
    """Training and validation curves of a `log.jsonl`.

    Skips lines that are no JSON object (a killed run may leave a partial one). Stages follow each other on one axis. Of updates
    that a resumed run logged twice, the last value counts.
    """
    training: Curves = defaultdict(lambda: defaultdict(dict))
    validation: Curves = defaultdict(lambda: defaultdict(dict))
    clock = _Clock()
    for line in _objects(log):
        who = (current_name(str(line.get("arm", "student"))), _whole(line.get("seed")) or 0)
        update = clock.update(who, line)
        if update is None:
            continue
        for curves, key in ((training, "values"), (validation, "validation")):
            for quantity, value in _numbers(line.get(key)):
                curves[quantity][who][update] = value
    return training, validation


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
            except ValueError:
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
