"""Verdicts as tables for the terminal: the arms of one run, or several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from limbeck.evaluation import number_format
from limbeck.evaluation.verdict import Arm, Verdict


def arm_row(arm: Arm, *, as_percent: bool) -> dict[str, str]:
    """What one arm shows, by column title."""
    return {
        "metric [95 %]": number_format.measured(arm.metric, arm.ci95, as_percent=as_percent),
        "parameters": number_format.count(arm.parameters),
        "file": number_format.size(arm.file_bytes),
        "MACs": number_format.count(arm.macs),
        "latency": number_format.milliseconds(arm.latency_ms.median if arm.latency_ms else None),
        "p95": number_format.milliseconds(arm.latency_ms.p95 if arm.latency_ms else None),
        "memory": number_format.size(arm.peak_memory_bytes),
        "ECE": number_format.NONE if arm.ece is None else number_format.number(arm.ece, 3),
    }


def arms_table(verdict: Verdict) -> Table:
    """Teacher, control and student of one run as columns, their figures as rows: so it fits 80 columns too."""
    arms = {name: arm_row(arm, as_percent=verdict.metric.percent) for name, arm in verdict.arms.present().items()}
    table = _table(Text(verdict.name), list(arms), first="")
    for title in arms["student"]:
        shown = title.replace("metric", verdict.metric.name)
        table.add_row(Text(shown), *(_stacked(row[title]) for row in arms.values()))
    return table


def compare(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """Several runs as one dictionary that JSON can hold: task, metric, and per run its arms, gain, retention and cost.

    Raises:
        ValueError: the runs solve different tasks, by different metrics, or on different classes; their numbers would
            stand in one column and mean different things.
    """
    if not verdicts:
        raise ValueError("no runs to compare")
    _refuse_strangers(verdicts)
    first = next(iter(verdicts.values()))
    kept = {"arms", "gain", "retention", "retention_ci95", "compression", "speedup", "memory_ratio", "met", "seeds"}
    runs = {run: verdict.model_dump(mode="json", include=kept) for run, verdict in verdicts.items()}
    return {"task": first.task, "metric": first.metric.model_dump(), "runs": runs}


def compare_table(verdicts: Mapping[str, Verdict], width: int = 120) -> Table:
    """Several runs, one row each: arms with intervals, gain, retention, size and speed. In a terminal narrower than 120
    columns without the two arms that gain and retention speak of, and without latency. Refuses what `compare` refuses."""
    compare(verdicts)
    metric = next(iter(verdicts.values())).metric
    direction = "more" if metric.higher_is_better else "less"
    rows = {run: run_row(verdict) for run, verdict in verdicts.items()}
    left_out = () if width >= 120 else ("teacher", "control", "latency")
    titles = [title for title in next(iter(rows.values())) if title not in left_out]
    table = _table(Text(f"{metric.name}, {direction} is better"), titles, first="run")
    for run, row in rows.items():
        table.add_row(Text(run), *(_stacked(row[title]) for title in titles))
    return table


def run_row(verdict: Verdict) -> dict[str, str]:
    """What one run shows, by column title."""
    percent, arms, gain = verdict.metric.percent, verdict.arms, verdict.gain
    shown = {
        name: number_format.NONE if arm is None else number_format.measured(arm.metric, arm.ci95, as_percent=percent)
        for name, arm in (("teacher", arms.teacher), ("control", arms.control), ("student", arms.student))
    }
    given = number_format.NONE
    if gain is not None:
        given = number_format.difference(gain.value, gain.ci95, as_percent=percent) + ("" if gain.effect else "\n(no effect)")
    latency = arms.student.latency_ms.median if arms.student.latency_ms else None
    return {
        **shown,
        "gain [95 %]": given,
        "retention": number_format.percent(verdict.retention),
        "parameters": number_format.count(arms.student.parameters),
        "latency": number_format.milliseconds(latency),
    }


def _stacked(text: str) -> str:
    """A value above its interval: two short lines fit a terminal, one long does not."""
    return text.replace(" [", "\n[")


def _refuse_strangers(verdicts: Mapping[str, Verdict]) -> None:
    (reference, first), *others = verdicts.items()
    for run, verdict in others:
        for what, ours, theirs in (
            ("task", first.task, verdict.task),
            ("metric", first.metric, verdict.metric),
            ("classes", first.classes, verdict.classes),
        ):
            if ours != theirs:
                values = f"{_short(ours)} and {_short(theirs)}"
                raise ValueError(f"{reference!r} and {run!r} cannot be compared: {what} differs ({values})")


def _short(value: object) -> str:
    text = value.name if hasattr(value, "name") else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _table(title: Text, titles: list[str], *, first: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column(first, overflow="fold")
    for heading in titles:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table
