"""Class by class: what the student kept of the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS
from limbeck.evaluation.report.canvas import COLOURS, INK, Canvas, cut
from limbeck.evaluation.report.page import Section, arm_title, figure, table
from limbeck.evaluation.verdict import Verdict

SHORT = 15  # letters of a class's name
ROWS = 20  # what a drawing shows; the table has them all
MEASURE = "accuracy"  # within a class, whatever metric judges all of them together
Columns = Mapping[str, Sequence[float | None]]


def classes(verdict: Verdict) -> Section | None:
    columns = {arm: found.per_class for arm, found in verdict.arms.items() if found.per_class}
    if "student" not in columns:
        return None
    names = [class_name(verdict, at) for at in range(min(map(len, columns.values())))]
    order = _worst_first(columns, len(names))
    if not order:
        return None
    shown = order[:ROWS]
    svg = draw([names[at] for at in shown], {arm: [values[at] for at in shown] for arm, values in columns.items()})
    titles = ["class", *(arm_title(arm) for arm in columns), *(["kept"] if "teacher" in columns else [])]
    rows = [_row(names[at], at, columns) for at in [*order, *(at for at in range(len(names)) if at not in order)]]
    order_said = "least kept" if "teacher" in columns else "worst"
    behind = table(f"{MEASURE} by class, {order_said} first", titles, rows, tall=len(rows) > ROWS)
    title = "What the student kept of the teacher" if "teacher" in columns else "What the student reached"
    return Section(
        "classes", "By class", figure("by-class", title, svg, _says(order, names, columns, verdict), behind, wide=True)
    )


def class_name(verdict: Verdict, at: int) -> str:
    """What a class is called; its number, where it has no name."""
    return verdict.classes[at] if 0 <= at < len(verdict.classes) else str(at)


def kept(columns: Columns, at: int) -> float | None:
    """The share of the teacher's score in one class that the student reaches."""
    student, teacher = columns["student"][at], columns.get("teacher", [None] * (at + 1))[at]
    return student / teacher if student is not None and teacher else None


def _worst_first(columns: Columns, count: int) -> list[int]:
    """Classes with test items, by what was kept, then by what the student reaches."""

    def rank(at: int) -> tuple[float, float]:
        share, student = kept(columns, at), columns["student"][at]
        return (float("inf") if share is None else share, student or 0.0)

    return sorted((at for at in range(count) if columns["student"][at] is not None), key=rank)


def _row(name: str, at: int, columns: Columns) -> list[str]:
    values = [number_format.measured(values[at], digits=1) for values in columns.values()]
    return [escape(name), *values, *([number_format.percent(kept(columns, at))] if "teacher" in columns else [])]


def _says(order: Sequence[int], names: Sequence[str], columns: Columns, verdict: Verdict) -> str:
    worst, best = order[0], order[-1]
    shares = [share for at in order if (share := kept(columns, at)) is not None]
    if shares:
        least, most = number_format.percent(shares[0]), number_format.percent(shares[-1])
        said = f"Least was kept of {cut(names[worst], SHORT)} ({least}), most of {cut(names[best], SHORT)} ({most})."
        said += " Squares are the teacher, rings the control, discs the student; at the right what was kept."
    else:
        said = f"The student is worst at {cut(names[worst], SHORT)} and best at {cut(names[best], SHORT)}."
        said += " Rings are the control, discs the student."
    if len(order) > ROWS:
        said += f" Drawn are the {ROWS} of {len(order)} classes of which least was kept; the table has them all."
    return said


def draw(names: Sequence[str], columns: Columns) -> str:
    """A line for each class from the control to the teacher, with a mark for every arm."""
    longest = max(len(cut(name, SHORT)) for name in names)
    canvas = Canvas(58 + 19 * len(names), left=14 + 6.2 * longest, right=46, top=8, bottom=42)
    axes = canvas.axes
    for place in range(len(names)):
        values = [column[place] for column in columns.values() if column[place] is not None]
        axes.plot([min(values), max(values)], [place, place], color=INK, alpha=0.25, linewidth=1.2, zorder=2)  # type: ignore[type-var]
        for arm in ARMS:
            value = columns[arm][place] if arm in columns else None
            if value is not None:
                canvas.mark(arm, value, place, size=8.5 if arm == "teacher" else 6)
        share = kept(columns, place)
        if share is not None:
            canvas.beside(place, number_format.percent(share, 0), COLOURS["student"])
    canvas.rows([cut(name, SHORT) for name in names])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", MEASURE, percent=True)
    return canvas.svg("by-class")
