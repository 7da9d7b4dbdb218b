"""Further controls of a run: what distillation gave over each of them."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import CONTROL
from limbeck.evaluation.report.canvas import SOFT, Canvas, cut, widest
from limbeck.evaluation.report.page import Section, arm_title, figure, stacked, table
from limbeck.evaluation.statistics import Gain
from limbeck.evaluation.verdict import Arm, Verdict

SHORT = 20


class _Row(NamedTuple):
    """One control of one result."""

    result: str
    control: str
    arm: Arm
    gain: Gain


def controls(verdict: Verdict) -> Section | None:
    """A figure of the gains over all controls, and the table behind it; None if no result has further controls."""
    if not any(result.controls for result in verdict.results.values()):
        return None
    rows = _rows(verdict)
    several = len(verdict.results) > 1
    percent = verdict.metric.percent
    titles = [*(["result"] if several else []), "control", escape(verdict.metric.name), "gain over it", "p"]
    cells = [
        (
            *([escape(row.result)] if several else []),
            arm_title(row.control) if row.control != CONTROL else arm_title(CONTROL) + ", labels only",
            stacked(number_format.measured(row.arm.metric, row.arm.ci95, as_percent=percent)),
            stacked(number_format.difference(row.gain.value, row.gain.ci95, as_percent=percent)),
            escape(number_format.p_value(row.gain.p).removeprefix("= ")),
        )
        for row in rows
    ]
    behind = table("Each control, and the gain over it", titles, cells, tall=len(cells) > 20)
    names = [f"{row.result}: {row.control}" if several else row.control for row in rows]
    drawn = figure("gains", "Gain over each control", draw(verdict, rows, names), _caption(rows, names), behind, wide=True)
    return Section("controls", "Controls", drawn)


def _rows(verdict: Verdict) -> list[_Row]:
    found = []
    for name, result in verdict.results.items():
        arms = {**({} if result.control is None else {CONTROL: result.control}), **result.controls}
        gains = {**({} if result.gain is None else {CONTROL: result.gain}), **result.gains}
        found += [_Row(name, control, arms[control], gain) for control, gain in gains.items() if control in arms]
    return found


def _caption(rows: list[_Row], names: list[str]) -> str:
    better = [name for row, name in zip(rows, names, strict=True) if row.gain.effect and row.gain.value > 0]
    worse = [name for row, name in zip(rows, names, strict=True) if row.gain.effect and row.gain.value < 0]
    same = [name for name in names if name not in better and name not in worse]
    found = (("Better than", better), ("Worse than", worse), ("No effect over", same))
    parts = [f"{words} {', '.join(which)}." for words, which in found if which]
    return f"{' '.join(parts)} Discs are paired differences, hollow where the 95 % interval contains zero."


def draw(verdict: Verdict, rows: list[_Row], names: list[str]) -> str:
    """A row for each control with the gain over it."""
    longest = widest(cut(name, SHORT) for name in names)
    metric = verdict.metric
    unit = 100 if metric.percent else 1
    canvas = Canvas(58 + 26 * len(rows), left=16 + longest, right=52, top=8, bottom=42)
    canvas.axes.axvline(0, color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
    for index, row in enumerate(rows):
        arm = "student" if row.gain.effect else "teacher"
        canvas.whisker(arm, [unit * end for end in row.gain.ci95], [index, index])
        canvas.mark(arm, unit * row.gain.value, index, marker="o", hollow=not row.gain.effect, size=6.5)
        canvas.beside(index, number_format.number(unit * row.gain.value, 1 if metric.percent else 3, sign=True))
    canvas.rows([cut(name, SHORT) for name in names])
    canvas.axes.locator_params(axis="x", nbins=5)
    canvas.label("x", f"gain in {metric.name}, points" if metric.percent else f"gain in {metric.name}")
    return canvas.svg("gains")
