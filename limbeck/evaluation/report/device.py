"""Exported files: latency, size and metric of the student beside the teacher exported in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.model_cost import Latency
from limbeck.evaluation.report.canvas import Canvas, log_x
from limbeck.evaluation.report.page import TITLES, Section, arm_title, figure, mark, stacked, table
from limbeck.evaluation.verdict import Export, Verdict

MODELS = ("teacher", "student")


def device(verdict: Verdict) -> Section | None:
    """A table of all files, failed ones with reason and remedy; a figure of latencies if two or more were measured."""
    rows = [*_in_pytorch(verdict), *verdict.exports]
    if not verdict.exports:
        return None
    timed = [row for row in rows if row.latency_ms is not None]
    behind = _table(rows, verdict)
    if len(timed) < 2:
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
    found = {arm: verdict.arms.get(arm) for arm in MODELS}
    return [
        Export(format="pytorch", precision="fp32", model=arm, bytes=one.file_bytes, metric=one.metric, ci95=one.ci95,
               latency_ms=one.latency_ms, peak_memory_bytes=one.peak_memory_bytes)
        for arm, one in found.items() if one is not None and one.latency_ms is not None
    ]  # fmt: skip


def _settings(rows: Sequence[Export]) -> list[tuple[str, str]]:
    """Distinct pairs of runtime and precision, in the order of the verdict."""
    return list(dict.fromkeys((row.format, row.precision) for row in rows))


def _caption(rows: Sequence[Export]) -> str:
    """The speedup of the student by runtime and precision, in a sentence."""
    speedups = []
    for format, precision in _settings(rows):
        times = {row.model: row.latency_ms for row in rows if (row.format, row.precision) == (format, precision)}
        teacher, student = (times.get(model) for model in MODELS)
        if teacher is not None and student is not None:
            speedups.append(f"{format} {precision} {number_format.times(teacher.median / student.median)}")
    return f"The student is faster than its teacher: {', '.join(speedups)}." if speedups else "Latency of the student’s files."


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
    return table("Every file, measured in its runtime; difference: the largest from PyTorch’s output", titles, lines)


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
    reported = [export for export in verdict.exports if export.error or export.warning]
    lines = [
        (
            f"{escape(row.format)} {escape(row.precision)}, {escape(row.model)}",
            f'<span class="{"bad" if row.error else ""}">{escape(row.error or row.warning or "")}</span>'
            + (f"<br><strong>Remedy:</strong> {escape(row.remedy)}" if row.remedy else ""),
        )
        for row in reported
    ]
    return table("Errors and warnings", ["file", "reason and remedy"], lines, text=1) if lines else ""


def draw(rows: Sequence[Export]) -> str:
    """One row per runtime and precision with teacher and student."""
    settings = _settings(rows)
    names = [f"{format} {precision}" for format, precision in settings]
    canvas = Canvas(60 + 34 * len(names), left=16 + 6.0 * max(map(len, names)), right=52, top=20)
    axes = canvas.axes
    axes.set_xlim(min(_ends(row)[0] for row in rows) / 1.6, max(_ends(row)[1] for row in rows) * 1.25)
    log_x(canvas, lambda value: f"{value:g}")
    for index, setting in enumerate(settings):
        own = {row.model: _ends(row) for row in rows if (row.format, row.precision) == setting}
        for model, (median, p95) in own.items():
            down = {"teacher": -0.12, "student": 0.12}.get(model, 0.0)
            canvas.whisker(model, [median, p95], [index + down, index + down])
            canvas.mark(model, median, index + down, size=7)
        if set(MODELS) <= set(own):
            canvas.beside(index, number_format.times(own["teacher"][0] / own["student"][0]))
    canvas.beside(-0.85, "faster")
    canvas.rows(names)
    canvas.label("x", "milliseconds")
    return canvas.svg("latency")
