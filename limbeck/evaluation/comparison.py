"""Compares many methods on one pair of models, with intervals for every difference."""

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
from limbeck.evaluation.agreement import teacher_agreement
from limbeck.evaluation.format_1 import upgrade_comparison
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.evaluation.statistics import Gain, Interval, Value, interval, paired_gain, per_seed, resampled
from limbeck.evaluation.verdict import MetricInfo
from limbeck.evaluation.verdict_builder import is_share, value_of
from limbeck.metrics import METRICS, Floats, Records
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import read_json

RESAMPLES = 4_000


class MethodResult(Record):
    """One method. `gain`: over the control; `rank`: the best and the worst rank that the intervals allow."""

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
    metric: MetricInfo
    control: str
    seeds: list[int]
    items: int
    teacher: float | None
    rows: dict[str, MethodResult]
    failed: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str | int]

    def save(self, path: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomic(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> ComparisonVerdict:
        content = read_json(path)
        return cls.model_validate(upgrade_comparison(content) if content.get("format") == 1 else content)


def build_comparison(
    students: Mapping[str, Predictions],
    teacher: Predictions | None,
    *,
    name: str,
    task: str,
    metric: MetricInfo,
    control: str,
    seeds: Sequence[int],
    seconds: Mapping[str, float],
    failed: Mapping[str, str],
    environment: dict[str, str | int],
) -> ComparisonVerdict:
    """Compares every method with the control and with every other method, paired by item and by seed.

    Args:
        students: predictions by method, `[seeds, items, …]`, for the same items in the same order.
        control: the name of the method without a teacher.
    """
    metric_function = METRICS.get(metric.name)
    scores = {method: found.item_statistics(metric_function) for method, found in students.items()}
    value, better = value_of(scores[control], metric_function), metric.higher_is_better
    ranks = rank_ranges(scores, higher_is_better=better, value=value)
    rows = {}
    for method, own in scores.items():
        mean, ci95 = interval(own, value=value, share=is_share(metric_function))
        gain = None if method == control else paired_gain(own, scores[control], higher_is_better=better, value=value)
        rows[method] = MethodResult(
            metric=mean,
            ci95=ci95,
            per_seed=[float(found) for found in per_seed(own, value)],
            gain=gain,
            agreement=teacher_agreement(students[method], teacher),
            rank=ranks[method],
            wall_s=seconds.get(method),
        )
    best_first = sorted(rows, key=lambda method: rows[method].metric, reverse=metric.higher_is_better)
    return ComparisonVerdict(
        name=name,
        task=task,
        metric=metric,
        control=control,
        seeds=list(seeds),
        items=next(iter(scores.values())).shape[1],
        teacher=None if teacher is None else float(per_seed(teacher.item_statistics(metric_function), value).mean()),
        rows={method: rows[method] for method in best_first},
        failed=dict(failed),
        environment=environment,
    )


def rank_ranges(
    scores: Mapping[str, Floats | Records], *, higher_is_better: bool = True, value: Value | None = None, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """The ranks that each method may have: from 1 + the number of methods that are better to the number that are not worse.

    A method is better than another if the 95 % interval of their paired difference lies above zero. All pairs use the same
    resamples of items and seeds. The intervals are not corrected for the number of pairs: among many equal methods some pairs
    will look different.
    """
    means = resampled(list(scores.values()), None, seed, value, usual=RESAMPLES)
    means = means if higher_is_better else -means
    ranks = {}
    for at, method in enumerate(scores):
        low, high = np.percentile(means - means[at], [2.5, 97.5], axis=1)
        better, worse = int((low > 0).sum()), int((high < 0).sum())
        ranks[method] = (1 + better, len(scores) - worse)
    return ranks


def methods_table(verdict: ComparisonVerdict) -> Table:
    """One row per method, best first: metric, gain over the control, possible ranks, seconds."""
    table = Table(title=Text(verdict.name), header_style="bold", title_justify="left")
    for position, title in enumerate(("method", f"{verdict.metric.name} [95 %]", "gain over the control", "ranks", "s")):
        table.add_column(Text(title), justify="left" if position == 0 else "right")
    for method, row in verdict.rows.items():
        table.add_row(Text(method), *row_cells(verdict, row))
    for method, reason in verdict.failed.items():
        table.add_row(Text(method), Text(f"failed: {reason.split(';')[0]}"))
    return table


def row_cells(verdict: ComparisonVerdict, row: MethodResult) -> list[str]:
    """The cells of a row after the name, for the terminal and for pages."""
    percent = verdict.metric.percent
    gain = "the control" if row.gain is None else number_format.difference(row.gain.value, row.gain.ci95, as_percent=percent)
    if row.gain is not None and not row.gain.effect:
        gain = f"no effect: {gain}"
    seconds = number_format.NONE if row.wall_s is None else f"{row.wall_s:,.0f}"
    return [number_format.measured(row.metric, row.ci95, as_percent=percent), gain, format_ranks(row), seconds]


def format_ranks(row: MethodResult) -> str:
    """`3`, or `2–5` for several possible ranks."""
    best, worst = row.rank
    return f"{best}" if best == worst else f"{best}–{worst}"
