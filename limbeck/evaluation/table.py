"""Verdicts as tables for the terminal: the arms of one run, or several runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS, CONTROL, STUDENT
from limbeck.evaluation.remarks import mean_of_seeds
from limbeck.evaluation.statistics import Gain
from limbeck.evaluation.verdict import Arm, Verdict

# of a verdict, in `compare`
_COMPARED = {"teacher", "results", "met", "seeds", "items", "test_data"}
_BULKY: Any = {"calibration"}
_LEFT_OUT: Any = {
    "teacher": _BULKY,
    "results": {
        "__all__": {
            "distilled": _BULKY,
            "control": _BULKY,
            "controls": {"__all__": _BULKY},
            "changes": True,
            "examples": True,
        }
    },
}


def arm_row(arm: Arm, *, as_percent: bool) -> dict[str, str]:
    """The cells of one arm, by title."""
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


def by_result(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """The verdict of every result of every run, by `RUN` where a run has one, and else by `RUN: RESULT`."""
    return {
        run if len(verdict.results) == 1 else f"{run}: {name}": verdict.only(name)
        for run, verdict in verdicts.items()
        for name in verdict.results
    }


def arms_table(verdict: Verdict) -> Table:
    """The arms of one run as columns and their figures as rows, which fits a terminal of 80 columns.

    Figures that no arm has are left out. Of a run with several results each is a row, with its gain and its retention. With
    further controls each arm is a row, with the gain over it.
    """
    if len(verdict.results) > 1:
        return _results_table(verdict)
    if verdict.result.controls:
        return _controls_table(verdict)
    arms = {name: arm_row(arm, as_percent=verdict.metric.percent) for name, arm in verdict.compared.items()}
    table = _table(Text(verdict.name), list(arms), first="", caption=mean_of_seeds(verdict))
    for title in arms["student"]:
        cells = [_stacked(row[title]) for row in arms.values()]
        if any(cell != number_format.NONE for cell in cells):
            table.add_row(Text(title.replace("metric", verdict.metric.name)), *cells)
    return table


def _controls_table(verdict: Verdict) -> Table:
    percent, result = verdict.metric.percent, verdict.result
    gains = {**({} if result.gain is None else {CONTROL: result.gain}), **result.gains}
    cells = {name: arm_row(arm, as_percent=percent) for name, arm in verdict.compared.items()}
    rows = {
        name: {
            verdict.metric.name: row["metric [95 %]"],
            "gain over it": _gain(gains.get(name), percent=percent),
            **{title: row[title] for title in ("parameters", "latency", "ECE")},
        }
        for name, row in cells.items()
    }
    titles = [title for title in rows[STUDENT] if any(row[title] != number_format.NONE for row in rows.values())]
    table = _table(Text(verdict.name), titles, first="", caption=mean_of_seeds(verdict))
    for name, row in rows.items():
        table.add_row(Text(name), *(_stacked(row[title]) for title in titles))
    return table


def _gain(gain: Gain | None, *, percent: bool) -> str:
    if gain is None:
        return number_format.NONE
    return number_format.difference(gain.value, gain.ci95, as_percent=percent) + ("" if gain.effect else "\n(no effect)")


def result_rows(verdict: Verdict) -> dict[str, dict[str, str]]:
    """The cells of each result, by title: its metric, its control, gain and retention."""
    return {
        name: {
            verdict.metric.name: row["student"],
            "control": row["control"],
            "gain": row["gain [95 %]"],
            "retention": row["retention"],
        }
        for name, row in ((name, run_row(verdict.only(name))) for name in verdict.results)
    }


def _results_table(verdict: Verdict) -> Table:
    costs = {name: arm_row(result.distilled, as_percent=verdict.metric.percent) for name, result in verdict.results.items()}
    rows = {
        name: row | {title: costs[name][title] for title in ("parameters", "latency")}
        for name, row in result_rows(verdict).items()
    }
    first = next(iter(rows.values()))
    left_out = "latency" if verdict.teacher is None else "control"  # which the gain tells too; 80 columns hold no more
    found = [title for title in first if any(row[title] != number_format.NONE for row in rows.values())]
    titles = [title for title in found if title != left_out]
    table = _table(Text(verdict.name), titles, first="result", caption=mean_of_seeds(verdict))
    for name, row in rows.items():
        table.add_row(Text(name), *(_stacked(row[title]) for title in titles))
    return table


def compare(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """Several runs as a dictionary for JSON: task, metric, and by run the teacher, the results, `met`, the seeds
    and the test data.

    Raises:
        ValueError: there are no runs, or they differ in task, metric or classes.
    """
    if not verdicts:
        raise ValueError("no runs to compare")
    _check_comparable(verdicts)
    first = next(iter(verdicts.values()))
    runs = {run: verdict.model_dump(mode="json", include=_COMPARED, exclude=_LEFT_OUT) for run, verdict in verdicts.items()}
    return {"task": first.task, "metric": first.metric.model_dump(), "runs": runs}


def compare_table(verdicts: Mapping[str, Verdict], width: int = 120) -> Table:
    """Several runs, one row for each of their results: arms with intervals, gain, retention, size and latency.

    Below a width of 120 columns without teacher, control and latency. Raises as `compare` does.
    """
    compare(verdicts)
    metric = next(iter(verdicts.values())).metric
    direction = "more" if metric.higher_is_better else "less"
    rows = {run: run_row(verdict) for run, verdict in by_result(verdicts).items()}
    left_out = () if width >= 120 else ("teacher", "control", "latency")
    titles = [title for title in next(iter(rows.values())) if title not in left_out]
    caption = f"{metric.name}: mean of all seeds of a run"
    table = _table(Text(f"{metric.name}, {direction} is better"), titles, first="run", caption=caption)
    for run, row in rows.items():
        table.add_row(Text(run), *(_stacked(row[title]) for title in titles))
    return table


def run_row(verdict: Verdict) -> dict[str, str]:
    """The cells of the first result of a run, by title."""
    percent, arms, student = verdict.metric.percent, verdict.arms, verdict.student
    told = verdict.told(verdict.result)
    over = "" if told is None or told[0] == CONTROL else f"\nover {told[0]}"
    shown = dict.fromkeys(ARMS, number_format.NONE)
    shown |= {name: number_format.measured(arm.metric, arm.ci95, as_percent=percent) for name, arm in arms.items()}
    return {
        **shown,
        "gain [95 %]": number_format.NONE if told is None else _gain(told[1], percent=percent) + over,
        "retention": number_format.percent(verdict.retention),
        "parameters": number_format.count(student.parameters),
        "latency": number_format.milliseconds(student.latency_ms.median if student.latency_ms else None),
    }


def _stacked(text: str) -> str:
    """A value above its interval, in two short lines."""
    return text.replace(" [", "\n[")


def _check_comparable(verdicts: Mapping[str, Verdict]) -> None:
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


def _table(title: Text, titles: list[str], *, first: str, caption: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", caption=Text(caption), caption_justify="left")
    table.add_column(first, overflow="fold", min_width=len(first))
    for heading in titles:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table
