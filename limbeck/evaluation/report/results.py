"""Several results of one run side by side: peers and their ensemble, exits of a network, variants of a supernet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import CONTROL, STUDENT, TEACHER
from limbeck.evaluation.remarks import mean_of_seeds
from limbeck.evaluation.report.canvas import COLOURS, FURTHER, Canvas, cut, widest
from limbeck.evaluation.report.page import Section, arm_title, details, figure, stacked, table
from limbeck.evaluation.table import arm_row, result_rows
from limbeck.evaluation.verdict import Verdict

SHORT = 16
_COSTS = {"parameters": "parameters", "MACs": "multiply-adds", "latency": "latency", "memory": "memory"}  # what a phone shows


def results(verdict: Verdict) -> Section | None:
    """A figure of all results with their intervals, their figures and their costs; None if there is one result."""
    if len(verdict.results) == 1:
        return None
    metrics = figure(
        "results-metric", f"{verdict.metric.name[:1].upper()}{verdict.metric.name[1:]} of each result", draw(verdict),
        _caption(verdict), _arms(verdict), wide=True,
    )  # fmt: skip
    return Section("results", "Results", metrics, _metrics(verdict), _costs(verdict), _by_seed(verdict))


def _caption(verdict: Verdict) -> str:
    has_control = any(result.control is not None for result in verdict.results.values())
    has_further = any(result.controls for result in verdict.results.values())
    signs = ["Discs are the results"]
    signs += ["rings their controls on labels only"] if has_control else []
    signs += ["diamonds further controls"] if has_further else []
    text = f"{', '.join(signs)}; whiskers are 95 % intervals."
    if verdict.teacher is not None:
        reached = number_format.measured(verdict.teacher.metric, as_percent=verdict.metric.percent)
        text += f" The dashed line is the teacher, {reached}, with its interval."
    return text + (" Gains over the control are on the right." if has_control else "")


def _arms(verdict: Verdict) -> str:
    """The plotted values: a row for each arm of each result."""
    percent = verdict.metric.percent
    rows = []
    if verdict.teacher is not None:
        rows.append(
            ("", arm_title(TEACHER), number_format.measured(verdict.teacher.metric, verdict.teacher.ci95, as_percent=percent))
        )
    for name in verdict.results:
        arms = verdict.only(name).compared
        arms.pop(TEACHER, None)
        rows += [
            (escape(name), arm_title(arm), number_format.measured(found.metric, found.ci95, as_percent=percent))
            for arm, found in arms.items()
        ]
    return table("Plotted values", ["result", "", escape(verdict.metric.name)], rows, tall=len(rows) > 20)


def _metrics(verdict: Verdict) -> str:
    rows = result_rows(verdict)
    return _without_empty(f"Each result beside its control and the teacher; {mean_of_seeds(verdict)}", verdict, rows)


def _costs(verdict: Verdict) -> str:
    """What each result costs; nothing if nothing was measured."""
    found = {name: arm_row(result.distilled, as_percent=verdict.metric.percent) for name, result in verdict.results.items()}
    rows = {name: {title: row[key] for key, title in _COSTS.items()} for name, row in found.items()}
    return _without_empty("Cost of one item on one CPU thread, in PyTorch", verdict, rows)


def _without_empty(caption: str, verdict: Verdict, rows: dict[str, dict[str, str]]) -> str:
    """A table with a row for each result, without columns that no result has."""
    first = next(iter(rows.values()))
    titles = [title for title in first if any(row[title] != number_format.NONE for row in rows.values())]
    if not titles:
        return ""
    cells = [(escape(name), *(_cell(row[title]) for title in titles)) for name, row in rows.items()]
    return table(caption, ["result", *map(escape, titles)], cells, tall=len(cells) > 20)


def _cell(text: str) -> str:
    value, _, note = text.partition("\n")
    return stacked(value) + (f"<small>{escape(note)}</small>" if note else "")


def _by_seed(verdict: Verdict) -> str:
    """The metric of each seed, if there are several."""
    if len(verdict.seeds) == 1:
        return ""
    percent = verdict.metric.percent
    rows = [
        (
            f"seed {seed}",
            *(number_format.measured(r.distilled.per_seed[at], as_percent=percent) for r in verdict.results.values()),
        )
        for at, seed in enumerate(verdict.seeds)
    ]
    return details("By seed", table(f"{verdict.metric.name} by seed", ["", *map(escape, verdict.results)], rows))


def draw(verdict: Verdict) -> str:
    """A row for each result: its student, its controls, its gain on the right; the teacher as a line."""
    metric, names = verdict.metric, list(verdict.results)
    longest = widest(cut(name, SHORT) for name in names)
    gains = any(result.gain is not None for result in verdict.results.values())
    most = max(1 + (result.control is not None) + len(result.controls) for result in verdict.results.values())
    canvas = Canvas(62 + max(32, 15 * most) * len(names), left=16 + longest, right=52 if gains else 20, top=22, bottom=42)
    axes = canvas.axes
    if verdict.teacher is not None:
        axes.axvspan(*verdict.teacher.ci95, color=COLOURS[TEACHER], alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(verdict.teacher.metric, color=COLOURS[TEACHER], linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
    for index, name in enumerate(names):
        arms = verdict.only(name).compared
        arms.pop(TEACHER, None)
        for down, (arm, found) in zip(spread(len(arms)), reversed(arms.items()), strict=True):
            look = arm if arm in (STUDENT, CONTROL) else FURTHER
            canvas.whisker(look, found.ci95, [index + down, index + down])
            canvas.mark(look, found.metric, index + down, size=6.5 if look != FURTHER else 5)
        gain = verdict.results[name].gain
        if gain is not None:
            unit = 100 if metric.percent else 1
            canvas.beside(index, number_format.number(unit * gain.value, 1 if metric.percent else 3, sign=True))
    if gains:
        canvas.beside(-0.85, "gain")
    canvas.rows([cut(name, SHORT) for name in names])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", metric.name, percent=metric.percent)
    return canvas.svg("results-metric")


def spread(count: int, width: float = 0.4) -> Sequence[float]:
    """Heights of `count` marks in one row, around its middle."""
    return [width * (at / (count - 1) - 0.5) for at in range(count)] if count > 1 else [0.0] * count
