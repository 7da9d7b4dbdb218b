"""Metric over size: the arms, the exported files and the targets of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.report.canvas import COLOURS, NARROW, SOFT, Canvas, apart, cut, log_x
from limbeck.evaluation.report.numbers import goal_text
from limbeck.evaluation.report.page import TITLES, Section, figure, grid, table
from limbeck.evaluation.statistics import Interval
from limbeck.evaluation.verdict import Verdict

BETWEEN = 26  # characters of two names that fit beside each other
SHORT = 16  # characters of the name of a result
_AXES = {"size-macs": "multiply-adds", "size-latency": "milliseconds, one item, one thread"}  # the others by their unit
FORMATS = {"onnx": "^", "executorch": "D"}  # markers of the runtimes; PyTorch's are those of the arms


@dataclass(frozen=True)
class Point:
    """A model or file: arm, name, size and metric."""

    arm: str
    name: str
    size: float
    metric: float
    ci95: Interval | None
    format: str = "pytorch"
    precision: str = "fp32"


@dataclass(frozen=True)
class Goal:
    """The line of a target: horizontal at a metric, or vertical at a size."""

    text: str
    metric: float | None = None
    size: float | None = None


def sizes(verdict: Verdict) -> Section | None:
    """Figures by parameters and file size; of several results by parameters, multiply-adds and latency."""
    several = len(verdict.results) > 1
    figures = _of_results(verdict) if several else _of_one(verdict)
    heading = f"{'Cost' if several else 'Size'} against {verdict.metric.name}"
    return Section("size", heading, grid(filter(None, figures), two=True))


def _of_results(verdict: Verdict) -> list[str]:
    """Each result is a disc with its name; figures of which only one value is known are left out."""
    arms = {name: ("student", result.distilled) for name, result in verdict.results.items()}
    if verdict.teacher is not None:
        arms = {TITLES["teacher"]: ("teacher", verdict.teacher), **arms}
    found = []
    for name, title, field, unit in (
        ("size-parameters", "By parameters", "parameters", number_format.count),
        ("size-macs", "By multiply-adds", "macs", number_format.count),
        ("size-latency", "By latency", "latency_ms", number_format.milliseconds),
    ):
        sized = {label: (arm, one, getattr(one, field)) for label, (arm, one) in arms.items()}
        points = [
            Point(arm, cut(label, SHORT), size.median if field == "latency_ms" else size, one.metric, one.ci95)
            for label, (arm, one, size) in sized.items()
            if size
        ]
        if len({point.size for point in points}) > 1:
            goals = _goals(verdict.only(next(iter(verdict.results))), field)
            found.append(_figure(name, title, points, goals, verdict, unit))
    return found


def _of_one(verdict: Verdict) -> list[str]:
    parameters = [
        Point(arm, TITLES[arm], found.parameters, found.metric, found.ci95)
        for arm, found in verdict.arms.items()
        if found.parameters
    ]
    files = [
        Point(arm, f"{TITLES[arm]}, safetensors", found.file_bytes, found.metric, found.ci95)
        for arm, found in verdict.arms.items()
        if found.file_bytes
    ] + _exported(verdict)
    return [
        _figure("size-parameters", "By parameters", parameters, _goals(verdict, "parameters"), verdict, number_format.count),
        _figure("size-bytes", "By file size", files, _goals(verdict, "file_bytes"), verdict, number_format.size),
    ]


def _exported(verdict: Verdict) -> list[Point]:
    return [
        Point(
            e.model,
            f"{TITLES.get(e.model, e.model)}, {e.format} {e.precision}",
            e.bytes,
            e.metric,
            e.ci95,
            e.format,
            e.precision,
        )
        for e in verdict.exports
        if e.bytes and e.metric is not None and not e.error and e.format != "pytorch"
    ]


def _goals(verdict: Verdict, size: str) -> list[Goal]:
    """The lines of the targets in a figure by the size of that name, a field of `Arm`."""
    found = []
    teacher, control = verdict.teacher, verdict.control
    unit_name = " points" if verdict.metric.percent else ""
    sign, unit = (1 if verdict.metric.higher_is_better else -1), (100 if verdict.metric.percent else 1)
    for name, target in verdict.targets.items():
        if name == "metric":
            found.append(Goal(f"goal {goal_text(name, target.goal, verdict)}", metric=target.goal))
        elif name == "retention" and teacher is not None and target.goal > 0:
            kept = teacher.metric * target.goal if sign > 0 else teacher.metric / target.goal
            found.append(Goal(f"{100 * target.goal:.3g} % kept", metric=kept))
        elif name == "gain" and control is not None:
            found.append(Goal(f"{target.goal:+g}{unit_name}", metric=control.metric + sign * target.goal / unit))
        elif name == size:
            found.append(Goal(f"at most {goal_text(size, target.goal, verdict)}", size=target.goal))
        elif name == "compression" and size == "parameters" and teacher is not None and teacher.parameters and target.goal > 0:
            found.append(Goal(f"{target.goal:g}× smaller", size=teacher.parameters / target.goal))
    return found


def _figure(
    name: str, title: str, points: Sequence[Point], goals: Sequence[Goal], verdict: Verdict, unit: Callable[[float], str]
) -> str:
    if len(points) < 2:
        return ""
    percent = verdict.metric.percent
    svg = draw(name, points, goals, verdict.metric.name, percent, unit)
    rows = [(escape(p.name), unit(p.size), number_format.measured(p.metric, p.ci95, as_percent=percent)) for p in points]
    rows += [
        (
            f"target: {escape(goal.text)}",
            number_format.NONE if goal.size is None else unit(goal.size),
            number_format.measured(goal.metric, as_percent=percent),
        )
        for goal in goals
    ]
    behind = table(f"{title}: plotted values", ["", "size", escape(verdict.metric.name)], rows)
    return figure(name, title, svg, _caption(points, goals, verdict, unit), behind)


def draw(
    name: str, points: Sequence[Point], goals: Sequence[Goal], metric: str, percent: bool, unit: Callable[[float], str]
) -> str:
    """Metric over size on a logarithmic scale; whiskers are intervals, dashed lines targets."""
    upright = sorted((goal for goal in goals if goal.size is not None), key=lambda goal: goal.size or 0)
    room = 14 * max(len(upright), 1)
    canvas = Canvas(260 + room, left=54, right=70, top=8 + room)
    axes = canvas.axes
    values = (
        [p.metric for p in points]
        + [end for p in points for end in p.ci95 or ()]
        + [g.metric for g in goals if g.metric is not None]
    )
    widths = [p.size for p in points] + [g.size for g in goals if g.size is not None]
    spread = max(max(values) - min(values), 1e-3)
    axes.set_ylim(min(values) - 0.1 * spread, max(values) + 0.12 * spread)
    reach = (max(widths) / min(widths)) ** 0.12 * 1.25
    axes.set_xlim(min(widths) / reach, max(widths) * reach)
    log_x(canvas, unit)
    canvas.label("x", _AXES.get(name, "parameters" if unit is number_format.count else "bytes"))
    canvas.label("y", metric, percent=percent)
    for goal in goals:
        if goal.metric is not None:
            axes.axhline(goal.metric, color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
    for index, goal in enumerate(upright):
        axes.axvline(goal.size, color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
        canvas.text(goal.size or 0, axes.get_ylim()[1], goal.text, SOFT, va="bottom", xytext=(-3, 1 + 14 * index))
    canvas.at_right([(goal.metric, goal.text, SOFT) for goal in goals if goal.metric is not None])
    for point in points:
        if point.ci95 is not None:
            canvas.whisker(point.arm, [point.size, point.size], list(point.ci95))
        hollow = point.precision != "fp32" or None
        canvas.mark(point.arm, point.size, point.metric, marker=FORMATS.get(point.format, ""), hollow=hollow)
    _name(canvas, [p for p in points if p.format == "pytorch"])
    return canvas.svg(name)


def _name(canvas: Canvas, points: Sequence[Point]) -> None:
    """The name of each arm beside its point; names that would overlap are moved apart."""
    low, high = canvas.axes.get_ylim()
    left, right = canvas.axes.get_xlim()
    middle = (left * right) ** 0.5
    sides = [[p for p in points if p.size < middle], [p for p in points if p.size >= middle]]
    longest = sum(max((len(p.name.partition(",")[0]) for p in side), default=0) for side in sides)
    if right / left < NARROW or longest > BETWEEN:  # names from both sides would overlap in the middle
        sides = [list(points)]
    for own in sides:
        own.sort(key=lambda p: p.metric)
        heights = apart([(p.metric - low) / (high - low) for p in own], 15 / canvas.inner)
        for point, height in zip(own, heights, strict=True):
            before = point.size < middle
            canvas.text(
                point.size, low + height * (high - low), point.name.partition(",")[0], COLOURS[point.arm],
                ha="left" if before else "right", xytext=(9 if before else -9, 0), weight="bold",
            )  # fmt: skip


def _caption(points: Sequence[Point], goals: Sequence[Goal], verdict: Verdict, unit: Callable[[float], str]) -> str:
    quality = {p.name: number_format.measured(p.metric, as_percent=verdict.metric.percent, digits=1) for p in points}
    arms = ", ".join(f"{p.name.partition(',')[0]} {unit(p.size)} at {quality[p.name]}" for p in points if p.format == "pytorch")
    arms = arms if len(verdict.results) > 1 else arms[:1].upper() + arms[1:]  # names of results stay as they are written
    text = f"{arms}. Sizes are on a logarithmic scale; whiskers are 95 % intervals."
    if len({p.format for p in points}) > 1:
        shapes = ", ".join(f"{_SHAPES[kind]} {kind}" for kind in FORMATS if any(p.format == kind for p in points))
        text += f" Files: {shapes}; hollow int8."
    return text + (" Dashed lines are targets." if goals else "")


_SHAPES = {"onnx": "triangles", "executorch": "diamonds"}
