"""Exported files: latency, size and metric of the results beside the teacher exported in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import STUDENT, TEACHER
from limbeck.evaluation.model_cost import Latency
from limbeck.evaluation.remarks import export_remarks, exported_seed
from limbeck.evaluation.report.canvas import Canvas, cut, log_x
from limbeck.evaluation.report.page import TITLES, Section, arm_title, figure, mark, stacked, table
from limbeck.evaluation.verdict import Export, Verdict

MAX_DRAWN = 24  # rows of the figure; more are in its table only
SHORT = 14


def device(verdict: Verdict) -> Section | None:
    """A table of all files, failed ones with reason and remedy; a figure of latencies if two or more were measured."""
    rows = [*_in_pytorch(verdict), *verdict.exports]
    if not verdict.exports:
        return None
    timed = [row for row in rows if row.latency_ms is not None]
    behind = _table(rows, verdict)
    if not len(timed) >= 2 or len(_places(timed)) > MAX_DRAWN:
        return Section("device", "On the device", behind, _failed(verdict))
    item = ", ".join(dict.fromkeys(row.input for row in timed if row.input)) or "one item"
    caption = (
        f"{_caption(timed)} Points are medians, whiskers end at the 95th percentile; {item}, one thread, logarithmic scale."
    )
    drawn = figure("latency", "Latency by runtime and precision", draw(timed), caption, _latencies(timed), wide=True)
    return Section("device", "On the device", drawn, behind, _failed(verdict))


def _in_pytorch(verdict: Verdict) -> list[Export]:
    """Rows of the models in PyTorch, if the exports have none."""
    if any(export.format == "pytorch" for export in verdict.exports):
        return []
    found = {TEACHER: verdict.teacher, **{name: result.distilled for name, result in verdict.results.items()}}
    return [
        Export(format="pytorch", precision="fp32", model=arm, bytes=one.file_bytes, metric=one.metric, ci95=one.ci95,
               latency_ms=one.latency_ms, peak_memory_bytes=one.peak_memory_bytes)
        for arm, one in found.items() if one is not None and one.latency_ms is not None
    ]  # fmt: skip


def _places(rows: Sequence[Export]) -> list[tuple[str, str, str]]:
    """The rows of the figure, result, runtime and precision, in the order of the verdict by result."""
    names = list(dict.fromkeys(row.model for row in rows if row.model != TEACHER)) or [TEACHER]
    settings = list(dict.fromkeys((row.format, row.precision) for row in rows))
    present = {(row.model, row.format, row.precision) for row in rows}
    if len(names) == 1:
        return [(names[0], *setting) for setting in settings]
    return [(name, *setting) for name in names for setting in settings if (name, *setting) in present]


def _caption(rows: Sequence[Export]) -> str:
    """The speedup of each result by runtime and precision, in a sentence."""
    times = {(row.model, row.format, row.precision): row.latency_ms for row in rows}
    places = _places(rows)
    several = len({name for name, *_ in places}) > 1
    speedups = []
    for name, format, precision in places:
        teacher, student = times.get((TEACHER, format, precision)), times.get((name, format, precision))
        if teacher is not None and student is not None and name != TEACHER:
            label = f"{name} {format} {precision}" if several else f"{format} {precision}"
            speedups.append(f"{label} {number_format.times(teacher.median / student.median)}")
    whose = "Faster than the teacher" if several else "The student is faster than its teacher"
    if speedups:
        return f"{whose}: {', '.join(speedups)}."
    return "Latency of the files of each result." if several else "Latency of the student’s files."


def _table(rows: Sequence[Export], verdict: Verdict) -> str:
    titles = ["runtime", "", escape(verdict.metric.name), "file", "latency", "p95", "memory", "difference"]
    lines = [
        [
            f"{escape(row.format)} {escape(row.precision)}",
            _whose(row),
            *([mark(False, "failed"), *[number_format.NONE] * 5] if row.error else _cells(row, verdict)),
        ]
        for row in rows
    ]
    origin = exported_seed(verdict.metric.name, len(verdict.seeds))
    caption = f"Every file, measured in its runtime; {origin}; difference: the largest from PyTorch’s output"
    return table(caption, titles, lines)


def _whose(row: Export) -> str:
    return arm_title(row.model) if row.model in TITLES else escape(row.model)


def _cells(row: Export, verdict: Verdict) -> list[str]:
    latency: Latency | None = row.latency_ms
    return [
        stacked(number_format.measured(row.metric, row.ci95, as_percent=verdict.metric.percent)),
        number_format.size(row.bytes),
        number_format.milliseconds(latency.median if latency else None),
        number_format.milliseconds(latency.p95 if latency else None),
        number_format.size(row.peak_memory_bytes),
        number_format.NONE if row.max_abs_diff is None else f"{row.max_abs_diff:.1e}",
    ]


def _latencies(rows: Sequence[Export]) -> str:
    lines = [
        (
            f"{escape(row.format)} {escape(row.precision)}",
            _whose(row),
            *(number_format.milliseconds(value) for value in _ends(row)),
        )
        for row in rows
    ]
    return table("Latency of one item on one thread", ["runtime", "", "median", "95th percentile"], lines)


def _ends(row: Export) -> tuple[float, float]:
    assert row.latency_ms is not None
    return row.latency_ms.median, row.latency_ms.p95


def _failed(verdict: Verdict) -> str:
    lines = [
        (
            f"{escape(row.format)} {escape(row.precision)}, {escape(row.model)}",
            f'<span class="{"bad" if row.error else ""}">{escape(message)}</span>'
            + (f"<br><strong>Remedy:</strong> {escape(remedy)}" if remedy else ""),
        )
        for row, message, remedy in export_remarks(verdict.exports)
    ]
    return table("Errors and warnings", ["file", "reason and remedy"], lines, text=1) if lines else ""


def draw(rows: Sequence[Export]) -> str:
    """One row per runtime and precision, of several results for each of them, with the teacher in the same runtime."""
    places = _places(rows)
    several = len({name for name, *_ in places}) > 1
    names = [
        f"{cut(name, SHORT)} {format} {precision}" if several else f"{format} {precision}" for name, format, precision in places
    ]
    canvas = Canvas(60 + (24 if several else 34) * len(names), left=16 + 6.0 * max(map(len, names)), right=52, top=20)
    axes = canvas.axes
    axes.set_xlim(min(_ends(row)[0] for row in rows) / 1.6, max(_ends(row)[1] for row in rows) * 1.25)
    log_x(canvas, lambda value: f"{value:g}")
    compared = False
    for index, (name, *setting) in enumerate(places):
        own = {row.model: _ends(row) for row in rows if [row.format, row.precision] == setting and row.model in (name, TEACHER)}
        for model, (median, p95) in own.items():
            down = 0.0 if len(own) == 1 and several else -0.12 if model == TEACHER else 0.12
            look = TEACHER if model == TEACHER else STUDENT
            canvas.whisker(look, [median, p95], [index + down, index + down])
            canvas.mark(look, median, index + down, size=7)
        if len(own) == 2:
            canvas.beside(index, number_format.times(own[TEACHER][0] / own[name][0]))
            compared = True
    if compared:
        canvas.beside(-0.85, "faster")
    canvas.rows(names)
    canvas.label("x", "milliseconds")
    return canvas.svg("latency")
