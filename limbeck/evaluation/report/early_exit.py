"""Early exits: the metric over the work, by the threshold at which items leave."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.early_exit import EarlyExits, ExitPoint
from limbeck.evaluation.report.canvas import COLOURS, INK, SOFT, Canvas
from limbeck.evaluation.report.page import Section, figure, grid, table
from limbeck.evaluation.verdict import Verdict


def early_exit(verdict: Verdict) -> Section | None:
    """A figure for each result that is an early exit; None without any."""
    found = {name: result.early_exits for name, result in verdict.results.items() if result.early_exits is not None}
    figures = [_figure(name, curve, verdict) for name, curve in found.items()]
    return Section("early-exit", "Early exit", grid(figures, two=len(figures) > 1)) if figures else None


def _figure(name: str, curve: EarlyExits, verdict: Verdict) -> str:
    chosen, whole = curve.chosen, curve.points[-1]
    percent = verdict.metric.percent
    at = "With one for each exit, chosen on validation data" if curve.own else f"At {chosen.threshold:g}, that of the run"
    caption = (
        f"Each point is a threshold of the largest probability at which an item leaves. {at}, a mean item "
        f"takes {100 * chosen.work:.0f} % of the multiply-adds of the network without exits and "
        f"{verdict.metric.name} is {number_format.measured(chosen.metric, as_percent=percent)}; if none leaves early it is "
        f"{number_format.measured(whole.metric, as_percent=percent)}."
    )
    titles = ["threshold", "work", escape(verdict.metric.name), *map(escape, curve.exits)]
    rows = [_row(point, percent=percent) for point in (*curve.points, *([curve.own] if curve.own else []))]
    values = table("Work, metric, and the share of items that leaves at each exit", titles, rows, tall=True)
    title = f"{verdict.metric.name[:1].upper()}{verdict.metric.name[1:]} over work: {name}"
    return figure(f"early-exit-{name}", title, draw(name, curve, verdict), caption, values)


def _row(point: ExitPoint, *, percent: bool) -> tuple[str, ...]:
    threshold = _threshold(point)
    shares = [f"{100 * share:.0f} %" for share in point.shares]
    return threshold, f"{100 * point.work:.0f} %", number_format.measured(point.metric, as_percent=percent), *shares


def _threshold(point: ExitPoint) -> str:
    if point.threshold is None:
        return "one for each exit"
    return "none leaves early" if point.threshold > 1 else f"{point.threshold:g}"


def draw(name: str, curve: EarlyExits, verdict: Verdict) -> str:
    """Work to the right, metric upwards; the run's threshold is a disc, the network without early exit a line."""
    canvas = Canvas(230)
    axes = canvas.axes
    axes.plot(
        [100 * point.work for point in curve.points], [point.metric for point in curve.points],
        color=COLOURS["student"], linewidth=1.6, marker=".", markersize=6, zorder=3,
    )  # fmt: skip
    axes.axhline(curve.points[-1].metric, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.axvline(100, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
    chosen = curve.chosen
    canvas.mark("student", 100 * chosen.work, chosen.metric)
    label = "chosen" if chosen.threshold is None else f"{chosen.threshold:g}"
    canvas.text(100 * chosen.work, chosen.metric, label, INK, ha="right", va="bottom", xytext=(-7, 6))
    canvas.label("y", verdict.metric.name, percent=verdict.metric.percent)
    canvas.label("x", "multiply-adds, % of the network without exits")
    return canvas.svg(f"early-exit-{name}")
