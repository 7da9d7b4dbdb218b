"""Many methods on one pair of models: how far apart they are, and which differences are none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from rich.table import Table
from rich.text import Text

from limbeck.evaluation import number_format
from limbeck.evaluation.format_1 import upgrade_comparison
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.evaluation.statistics import Gain, Interval, interval, paired_gain, per_seed, resampled
from limbeck.evaluation.verdict import Metric, value_of
from limbeck.metrics.measures import MEASURES, Floats, Value
from limbeck.utils.atomic_files import write_text_atomic

RESAMPLES = 4_000


class Row(Record):
    """One method. `gain` is against the control; `rank`: the best and the worst place that the data leave open."""

    metric: float
    ci95: Interval
    per_seed: list[float]
    gain: Gain | None
    agreement: float | None
    rank: tuple[int, int]
    wall_s: float | None


class ComparisonVerdict(Record):
    """The result of a comparison, best method first: `comparison.json`, format 2 (format 1 is still read).

    `failed`: by method, the reason."""

    format: Literal[2] = 2
    name: str
    task: str
    metric: Metric
    control: str
    seeds: list[int]
    items: int
    teacher: float | None
    rows: dict[str, Row]
    failed: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str | int]

    def save(self, path: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomic(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> ComparisonVerdict:
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls.model_validate(upgrade_comparison(content) if content.get("format") == 1 else content)


def weigh_methods(
    students: Mapping[str, Predictions],
    teacher: Predictions | None,
    *,
    name: str,
    task: str,
    metric: Metric,
    control: str,
    seeds: Sequence[int],
    seconds: Mapping[str, float],
    failed: Mapping[str, str],
    environment: dict[str, str | int],
) -> ComparisonVerdict:
    """Hold every method against the control and against each other, item by item and seed by seed.

    Args:
        students: the answers of each method's students, `[seeds, items, …]`, on the same items in the same order.
        control: the name among them of the one without a teacher.
    """
    from limbeck.evaluation.model_cost import agreement

    measure = MEASURES.get(metric.name)
    scores = {method: answers.parts(measure) for method, answers in students.items()}
    value, better = value_of(scores[control], measure), metric.higher_is_better
    ranks = rank_ranges(scores, higher_is_better=better, value=value)
    rows = {}
    for method, own in scores.items():
        mean, ci95 = interval(own, value=value)
        gain = None if method == control else paired_gain(own, scores[control], higher_is_better=better, value=value)
        logits = students[method].logits
        told = None if teacher is None or teacher.logits is None or logits is None else agreement(logits, teacher.logits)
        each = [float(found) for found in per_seed(own, value)]
        rows[method] = Row(
            metric=mean, ci95=ci95, per_seed=each, gain=gain, agreement=told, rank=ranks[method], wall_s=seconds.get(method)
        )
    best_first = sorted(rows, key=lambda method: rows[method].metric, reverse=metric.higher_is_better)
    return ComparisonVerdict(
        name=name,
        task=task,
        metric=metric,
        control=control,
        seeds=list(seeds),
        items=next(iter(scores.values())).shape[1],
        teacher=None if teacher is None else float(per_seed(teacher.parts(measure), value).mean()),
        rows={method: rows[method] for method in best_first},
        failed=dict(failed),
        environment=environment,
    )


def rank_ranges(
    scores: Mapping[str, Floats], *, higher_is_better: bool = True, value: Value | None = None, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """The places that each method may have: 1 + those surely better, to all − those surely worse.

    One method is surely better than another where the 95 % interval of their paired difference keeps clear of zero. All
    pairs see the same draws of items and seeds. The intervals are not widened for the number of pairs: of many equal
    methods some pairs will look different.
    """
    means = resampled(list(scores.values()), RESAMPLES, seed, value)
    means = means if higher_is_better else -means
    places = {}
    for at, method in enumerate(scores):
        low, high = np.percentile(means - means[at], [2.5, 97.5], axis=1)
        better, worse = int((low > 0).sum()), int((high < 0).sum())
        places[method] = (1 + better, len(scores) - worse)
    return places


def methods_table(verdict: ComparisonVerdict) -> Table:
    """One row a method, best first: metric, gain over the control, places left open."""
    table = Table(title=Text(verdict.name), header_style="bold", title_justify="left")
    for position, title in enumerate(("method", f"{verdict.metric.name} [95 %]", "gain over the control", "places", "s")):
        table.add_column(title, justify="left" if position == 0 else "right")
    for method, row in verdict.rows.items():
        table.add_row(Text(method), *row_cells(verdict, row))
    for method, reason in verdict.failed.items():
        table.add_row(Text(method), Text(f"failed: {reason.split(';')[0]}"))
    return table


def row_cells(verdict: ComparisonVerdict, row: Row) -> list[str]:
    """What one row shows after its name; the table of the terminal and those of pages agree."""
    percent = verdict.metric.percent
    gain = "the control" if row.gain is None else number_format.difference(row.gain.value, row.gain.ci95, as_percent=percent)
    if row.gain is not None and not row.gain.effect:
        gain = f"no effect: {gain}"
    places = f"{row.rank[0]}" if row.rank[0] == row.rank[1] else f"{row.rank[0]}–{row.rank[1]}"
    seconds = number_format.NONE if row.wall_s is None else f"{row.wall_s:,.0f}"
    return [number_format.measured(row.metric, row.ci95, as_percent=percent), gain, places, seconds]
