"""Verdicts as tables for the terminal: the arms of one run, or several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from limbeck.verdict import wording
from limbeck.verdict.verdict import Arm, Verdict


def arm_row(arm: Arm, *, as_percent: bool) -> dict[str, str]:
    """What one arm shows, by column title."""
    return {
        "metric [95 %]": wording.measured(arm.metric, arm.ci95, as_percent=as_percent),
        "parameters": wording.count(arm.parameters),
        "file": wording.size(arm.file_bytes),
        "MACs": wording.count(arm.macs),
        "latency": wording.milliseconds(arm.latency_ms.median if arm.latency_ms else None),
        "p95": wording.milliseconds(arm.latency_ms.p95 if arm.latency_ms else None),
        "memory": wording.size(arm.peak_memory_bytes),
        "ECE": wording.NONE if arm.ece is None else wording.number(arm.ece, 3),
    }


def arms_table(verdict: Verdict) -> Table:
    """Teacher, control and student of one run, under its sentence."""
    rows = {name: arm_row(arm, as_percent=verdict.metric.percent) for name, arm in verdict.arms.present().items()}
    titles = [f"{verdict.metric.name} [95 %]", *list(rows["student"])[1:]]
    table = _table(Text(f"{verdict.name}: {verdict.sentence()}"), titles, first="arm")
    for name, row in rows.items():
        table.add_row(Text(name), *row.values())
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


def compare_table(verdicts: Mapping[str, Verdict]) -> Table:
    """Several runs, one row each: arms with intervals, gain, retention, size and speed. Refuses what `compare`
    refuses."""
    compare(verdicts)
    metric = next(iter(verdicts.values())).metric
    titles = ["teacher", "alone", "student", "gain [95 %]", "retention", "parameters", "latency"]
    direction = "more" if metric.higher_is_better else "less"
    table = _table(Text(f"{metric.name}, {direction} is better"), titles, first="run")
    for run, verdict in verdicts.items():
        table.add_row(Text(run), *_run_row(verdict))
    return table


def _run_row(verdict: Verdict) -> list[str]:
    percent, arms, gain = verdict.metric.percent, verdict.arms, verdict.gain
    shown = [
        wording.NONE if arm is None else wording.measured(arm.metric, arm.ci95, as_percent=percent)
        for arm in (arms.teacher, arms.alone, arms.student)
    ]
    given = wording.NONE
    if gain is not None:
        given = wording.difference(gain.value, gain.ci95, as_percent=percent) + ("" if gain.effect else " (no effect)")
    latency = arms.student.latency_ms.median if arms.student.latency_ms else None
    cost = [wording.count(arms.student.parameters), wording.milliseconds(latency)]
    shown = [text.replace(" [", "\n[") for text in (*shown, given)]  # two short lines fit a terminal, one long does not
    return [*shown, wording.percent(verdict.retention), *cost]


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
    table.add_column(first)
    for heading in titles:
        table.add_column(Text(heading), justify="right")
    return table
