"""Accuracy by class, or what else the task measures there, and the share of the teacher's that the student keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS
from limbeck.evaluation.report.canvas import COLOURS, INK, Canvas, cut, widest
from limbeck.evaluation.report.page import Section, arm_title, figure, table
from limbeck.evaluation.verdict import Verdict
from limbeck.tasks import task_type
from limbeck.utils.terminal import plain

SHORT, LONG = 15, 60  # characters of a class name in figures and elsewhere
SIGNS = {"teacher": "squares", "control": "rings", "student": "discs"}
ROWS = 20  # in the figure; the table has all
Columns = Mapping[str, Sequence[float | None]]


def classes(verdict: Verdict) -> Section | None:
    columns = {arm: found.per_class for arm, found in verdict.arms.items() if found.per_class}
    if "student" not in columns:
        return None
    known = task_type(verdict.task).reported_classes(verdict.classes)
    names = [_legible(known[at], at) if at < len(known) else str(at) for at in range(min(map(len, columns.values())))]
    order = _worst_first(columns, len(names))
    if not order:
        return None
    shown = order[:ROWS]
    measure = task_type(verdict.task).class_measure
    svg = draw([names[at] for at in shown], {arm: [values[at] for at in shown] for arm, values in columns.items()}, measure)
    titles = ["class", *(arm_title(arm) for arm in columns), *(["retention"] if "teacher" in columns else [])]
    rows = [_row(names[at], at, columns) for at in dict.fromkeys([*order, *range(len(names))])]
    first = "lowest retention" if "teacher" in columns else "lowest"
    behind = table(f"{measure} by class, {first} first", titles, rows, tall=len(rows) > ROWS)
    title = "Retention by class" if "teacher" in columns else f"{measure[:1].upper()}{measure[1:]} by class"
    return Section(
        "classes", "By class", figure("by-class", title, svg, _caption(order, names, columns, verdict), behind, wide=True)
    )


def class_name(verdict: Verdict, at: int) -> str:
    """The name of a class as the page shows it, or its number if it has none."""
    return _legible(verdict.classes[at], at) if 0 <= at < len(verdict.classes) else str(at)


def _legible(name: str, at: int) -> str:
    """A name in one line of at most `LONG` characters, which does not turn the direction of the text around it."""
    return cut(plain(name), LONG) or str(at)


def kept(columns: Columns, at: int) -> float | None:
    """The student's share of the teacher's value in one class."""
    student, teacher = columns["student"][at], columns.get("teacher", [None] * (at + 1))[at]
    return student / teacher if student is not None and teacher else None


def _worst_first(columns: Columns, count: int) -> list[int]:
    """Classes with test items, by retention, then by the student's value."""

    def rank(at: int) -> tuple[float, float]:
        share, student = kept(columns, at), columns["student"][at]
        return (float("inf") if share is None else share, student or 0.0)

    return sorted((at for at in range(count) if columns["student"][at] is not None), key=rank)


def _row(name: str, at: int, columns: Columns) -> list[str]:
    values = [number_format.measured(values[at], digits=1) for values in columns.values()]
    return [escape(name), *values, *([number_format.percent(kept(columns, at))] if "teacher" in columns else [])]


def _caption(order: Sequence[int], names: Sequence[str], columns: Columns, verdict: Verdict) -> str:
    shares = {at: share for at in order if (share := kept(columns, at)) is not None}
    worst, best = (
        (min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)) if shares else (order[0], order[-1])
    )
    low, high = cut(names[worst], SHORT), cut(names[best], SHORT)
    if shares:
        least, most = number_format.percent(shares[worst]), number_format.percent(shares[best])
        text = f"Retention is lowest for {low} ({least}) and highest for {high} ({most})."
    else:
        text = f"The student is worst at {low} and best at {high}."
    (first, sign), *others = ((arm, sign) for arm, sign in SIGNS.items() if arm in columns)
    text += f" {sign.capitalize()} are the {first}{''.join(f', {sign} the {arm}' for arm, sign in others)}"
    text += "; retention is on the right." if shares else "."
    if len(order) > ROWS:
        text += f" The figure shows the {ROWS} lowest of {len(order)} classes, the table all."
    return text


def draw(names: Sequence[str], columns: Columns, measure: str = "accuracy") -> str:
    """One row per class with a mark for every arm."""
    longest = widest(cut(name, SHORT) for name in names)
    canvas = Canvas(58 + 19 * len(names), left=14 + longest, right=46, top=8, bottom=42)
    axes = canvas.axes
    for index in range(len(names)):
        values = [column[index] for column in columns.values() if column[index] is not None]
        axes.plot([min(values), max(values)], [index, index], color=INK, alpha=0.25, linewidth=1.2, zorder=2)  # type: ignore[type-var]
        for arm in ARMS:
            value = columns[arm][index] if arm in columns else None
            if value is not None:
                canvas.mark(arm, value, index, size=8.5 if arm == "teacher" else 6)
        share = kept(columns, index)
        if share is not None:
            canvas.beside(index, number_format.percent(share, 0), COLOURS["student"])
    canvas.rows([cut(name, SHORT) for name in names])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", measure, percent=True)
    return canvas.svg("by-class")
