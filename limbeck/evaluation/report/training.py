"""Training curves: every term and validation metric by arm and seed, and the teacher's own training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.evaluation import number_format
from limbeck.evaluation.report.canvas import COLOURS, INK, LINES, Canvas, cut, log_y, percent_axis, strip_zeros, widest
from limbeck.evaluation.report.page import TITLES, Section, figure, grid, paragraph, table
from limbeck.evaluation.report.weights import class_figures, weight_figures
from limbeck.evaluation.training_curves import Curve, Curves, read_class_weights, read_curves, read_weights
from limbeck.evaluation.verdict import MetricInfo
from limbeck.metrics import METRICS

SHORT = 12  # characters of the name of a further control
POINTS = 240  # per line; a small figure shows no more
FIGURES = 24  # of one group; others are listed by name
Lines = Mapping[tuple[str, int], Curve]


def training(log: Path, metric: MetricInfo, classes: Sequence[str] = ()) -> Section:
    """Figures from the log of a run, or a note that it is missing; `classes`: their names."""
    name, heading = "training", "Training"
    if not log.exists():
        return Section(name, heading, paragraph("log.jsonl is missing, so there are no training curves.", soft=True))
    terms, validation = read_curves(log)
    groups = [
        ("validation", "Validation", validation, False),
        ("terms", "Terms", _without_duplicates(terms), False),
        ("teacher", "The teacher's own training", _without_duplicates(terms), True),
    ]
    parts = []
    for group, title, curves, of_teacher in groups:
        own = {quantity: _of(lines, of_teacher) for quantity, lines in curves.items()}
        parts.append(_group(group, title, {quantity: lines for quantity, lines in own.items() if lines}, metric))
    weights = weight_figures(read_weights(log), terms) + class_figures(read_class_weights(log), terms, classes)
    parts.append(f'<div class="group"><h3>Weights of items</h3>\n{grid(weights)}</div>' if weights else "")
    if not any(parts):
        return Section(name, heading, paragraph("log.jsonl holds no values.", soft=True))
    further = {arm for curves in (terms, validation) for lines in curves.values() for arm, _ in lines} - set(TITLES)
    others = ", further controls dash-dotted" if further else ""
    note = f"One line per seed over weight updates: student solid, control dashed, teacher dotted{others}."
    return Section(name, heading, paragraph(note), *parts)


def _of(lines: Lines, teacher: bool) -> dict[tuple[str, int], Curve]:
    return {who: curve for who, curve in lines.items() if (who[0] == "teacher") == teacher}


def _without_duplicates(curves: Curves) -> Curves:
    """Without the loss of an arm with a single term of weight one, which would be drawn twice."""
    loss = {
        who: curve
        for who, curve in curves.get("loss", {}).items()
        if not any(other.get(who) == curve for quantity, other in curves.items() if quantity != "loss")
    }
    return {**{quantity: lines for quantity, lines in curves.items() if quantity != "loss"}, **({"loss": loss} if loss else {})}


def _group(group: str, title: str, curves: Curves, metric: MetricInfo) -> str:
    if not curves:
        return ""
    shown, hidden = list(curves)[:FIGURES], list(curves)[FIGURES:]
    figures = [
        _figure(f"{group}-{index}", quantity, curves[quantity], _is_percentage(quantity, metric))
        for index, quantity in enumerate(shown)
    ]
    more = paragraph(f"Not drawn: {', '.join(hidden)}.", soft=True) if hidden else ""
    return f'<div class="group"><h3>{escape(title)}</h3>\n{grid(figures)}\n{more}</div>'


def _is_percentage(quantity: str, metric: MetricInfo) -> bool:
    """Whether a quantity is shown as a percentage: the metric as the run has it, others as their own definition has it."""
    name = quantity.rpartition(".")[2]  # that of another result than the first is called RESULT.METRIC
    known = METRICS.get(name)
    return metric.percent if name == metric.name else known is not None and known.percent


def _figure(name: str, quantity: str, lines: Lines, percent: bool) -> str:
    steps = sorted({update for curve in lines.values() for update in curve})
    chosen = sorted({steps[int(share * (len(steps) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)})
    rows = [
        (f"{TITLES.get(arm, escape(arm))}, seed {seed}", *(_number(_near(curve, update), percent) for update in chosen))
        for (arm, seed), curve in sorted(lines.items())
    ]
    behind = table(f"{quantity} by update", ["", *(f"{update:,}" for update in chosen)], rows)
    return figure(name, quantity, draw(name, lines, percent), _caption(lines, percent), behind, level=4)


def _near(curve: Curve, update: int) -> float:
    """The last value up to an update; not all curves have values at the same updates."""
    known = [step for step in curve if step <= update]
    return curve[max(known)] if known else float("nan")


def _number(value: float, percent: bool) -> str:
    if not np.isfinite(value):
        return number_format.NONE
    return number_format.percent(value) if percent else f"{value:.4g}".replace("-", "−")


def _caption(lines: Lines, percent: bool) -> str:
    """First and last value of each arm, averaged over its seeds."""
    arms = []
    for arm in dict.fromkeys(arm for arm, _ in lines):
        own = [curve for (who, _), curve in lines.items() if who == arm]
        first, last = (float(np.mean([curve[pick(curve)] for curve in own])) for pick in (min, max))
        arms.append(f"{TITLES.get(arm, arm)} {_number(first, percent)} → {_number(last, percent)}")
    seeds = len({seed for _, seed in lines})
    text = ", ".join(arms)
    return f"{text[:1].upper()}{text[1:]}{f' (means of {seeds} seeds)' if seeds > 1 else ''}."


def draw(name: str, lines: Lines, percent: bool = False) -> str:
    """One quantity: a line per arm and seed, with the name of the arm at its end."""
    longest = widest(_label(arm) for arm, _ in lines)
    canvas = Canvas(190, width=300, right=max(54, 12 + longest), left=48)
    ends: dict[str, list[float]] = {}
    for (arm, _), curve in sorted(lines.items()):
        x, y = _downsampled(curve)
        marker = {"marker": "o", "markersize": 3.5} if len(x) < 3 else {}
        canvas.axes.plot(x, y, color=COLOURS.get(arm, INK), linestyle=LINES.get(arm, "-."), linewidth=1.4, alpha=0.85, **marker)
        ends.setdefault(arm, []).extend(y[np.isfinite(y)][-1:])
    if _needs_log_scale(lines):
        log_y(canvas)
    else:
        canvas.axes.locator_params(axis="y", nbins=5)
        if percent:
            percent_axis(canvas.axes.yaxis)
    canvas.axes.locator_params(axis="x", nbins=4, integer=True)
    canvas.axes.xaxis.set_major_formatter(lambda value, _: strip_zeros(number_format.count(value)))
    canvas.label("x", "update")
    labels = [(float(np.mean(last)), _label(arm), COLOURS.get(arm, INK)) for arm, last in ends.items() if last]
    canvas.at_right(labels)
    return canvas.svg(name)


def _label(arm: str) -> str:
    """The name of an arm at the end of its line."""
    return TITLES.get(arm) or cut(arm, SHORT)


def _needs_log_scale(lines: Lines) -> bool:
    values = [value for curve in lines.values() for value in curve.values() if np.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 50


def _downsampled(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `POINTS` points, each the mean of an interval; values that are not finite leave a gap."""
    x = np.array(sorted(curve), dtype=np.float64)
    y = np.array([curve[int(update)] for update in x])
    y[~np.isfinite(y)] = np.nan
    if len(x) > POINTS:
        x, y = (np.array([piece.mean() for piece in np.array_split(values, POINTS)]) for values in (x, y))
    return x, y
