"""The page of several runs of one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from limbeck.evaluation import number_format
from limbeck.evaluation.report import appendix
from limbeck.evaluation.report.canvas import Canvas, cut, widest
from limbeck.evaluation.report.page import Section, arm_title, figure, grid, head, mark, paragraph, stacked, table, write_page
from limbeck.evaluation.report.sizes import Point, draw
from limbeck.evaluation.table import by_result, compare, run_row
from limbeck.evaluation.test_data import other_test_data
from limbeck.evaluation.verdict import Arm, Verdict

SHORT = 16
SIGNS = {"teacher": ", squares teachers", "control": ", rings controls"}
_MISSING = "not set"


def page_path(folders: Sequence[Path]) -> Path:
    """The path of the page of several runs: in their common parent folder, or else in the working directory."""
    parents = {folder.resolve().parent for folder in folders}
    return (parents.pop() if len(parents) == 1 else Path()) / "comparison-report.html"


def write_side_by_side(runs: Mapping[str, Verdict], folders: Mapping[str, Path], out: Path) -> Path:
    """Write one page of several runs, by name.

    Args:
        folders: of the runs, for their recipes.

    Raises:
        ValueError: the runs differ in task, metric or classes.
    """
    compare(runs)
    shown = by_result(runs)
    others = other_test_data(runs)
    sections = [
        _numbers(shown, others),
        _figures(runs),
        _targets(runs),
        _recipes({run: folder / "recipe.yaml" for run, folder in folders.items()}),
        _environments(runs),
    ]
    top = head(" · ".join(runs), _not_comparable(runs) if others else _sentence(shown), _facts(runs, shown))
    return write_page(out, " · ".join(runs), top, sections, "the verdict.json of each run")


def _facts(runs: Mapping[str, Verdict], shown: Mapping[str, Verdict]) -> list[str]:
    facts = [next(iter(runs.values())).task, f"{len(runs)} runs"]
    return facts if len(shown) == len(runs) else [*facts, f"{len(shown)} results"]


def _not_comparable(runs: Mapping[str, Verdict]) -> str:
    metric = next(iter(runs.values())).metric.name
    return f"the {len(runs)} runs were measured on different test data, so no student is the best by {metric}"


def _sentence(runs: Mapping[str, Verdict]) -> str:
    """The best student, and whether its interval overlaps with that of the second."""
    metric = next(iter(runs.values())).metric
    order = sorted(runs, key=lambda run: runs[run].student.metric, reverse=metric.higher_is_better)
    best, second = (runs[run].student for run in (order[0], order[1]))
    apart = best.ci95[0] > second.ci95[1] if metric.higher_is_better else best.ci95[1] < second.ci95[0]
    reached = number_format.measured(best.metric, best.ci95, as_percent=metric.percent, digits=1)
    return f"the best student is that of {order[0]} with {metric.name} {reached}" + (
        "" if apart else f"; its interval overlaps with that of {order[1]}"
    )


def _numbers(runs: Mapping[str, Verdict], others: Sequence[str]) -> Section:
    rows = {run: run_row(verdict) for run, verdict in runs.items()}
    titles = [
        "run",
        *(arm_title(name) if name in ("teacher", "control", "student") else escape(name) for name in next(iter(rows.values()))),
    ]
    behind = table("The runs", titles, [(escape(run), *(_cell(text) for text in row.values())) for run, row in rows.items()])
    drawn = figure("arms-of-runs", "Teacher, control and student of each run", _dots(runs), _caption(runs), behind, wide=True)
    return Section("runs", "The runs", *(paragraph(f"{line}.") for line in others), drawn)


def _cell(text: str) -> str:
    value, _, note = text.partition("\n")
    return stacked(value) + (f"<small>{escape(note)}</small>" if note else "")


def _caption(runs: Mapping[str, Verdict]) -> str:
    gains = []
    for run, verdict in runs.items():
        gain = verdict.gain
        shown = None if gain is None else number_format.difference(gain.value, gain.ci95, as_percent=verdict.metric.percent)
        none = "" if gain is None or gain.effect else "no effect, "
        gains.append(f"{run}: {'no control' if shown is None else none + shown}")
    drawn = {arm for verdict in runs.values() for arm in verdict.arms}
    signs = f"Discs are students{''.join(sign for arm, sign in SIGNS.items() if arm in drawn)}, whiskers 95 % intervals."
    return f"{signs} Gains over the control: {'; '.join(gains)}."


def _dots(runs: Mapping[str, Verdict]) -> str:
    longest = widest(map(_short, runs))
    metric = next(iter(runs.values())).metric
    canvas = Canvas(62 + 34 * len(runs), left=16 + longest, right=52, top=22, bottom=42)
    axes = canvas.axes
    for index, verdict in enumerate(runs.values()):
        for down, (arm, found) in zip((-0.16, 0.0, 0.16), verdict.arms.items(), strict=False):
            canvas.whisker(arm, found.ci95, [index + down, index + down])
            canvas.mark(arm, found.metric, index + down, size=6.5)
        if verdict.gain is not None:
            unit = 100 if metric.percent else 1
            canvas.beside(index, number_format.number(unit * verdict.gain.value, 1 if metric.percent else 3, sign=True))
    canvas.beside(-0.85, "gain")
    canvas.rows([_short(name) for name in runs])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", metric.name, percent=metric.percent)
    return canvas.svg("arms-of-runs")


def _short(label: str) -> str:
    """A run cut to `SHORT` characters; if a result is named too, both are cut, so that its results stay apart."""
    run, separator, result = label.partition(": ")
    if len(label) <= SHORT or not separator:
        return cut(label, SHORT)
    result = cut(result, SHORT - 4)
    return f"{cut(run, max(SHORT - 2 - len(result), 2))}: {result}"


def _figures(runs: Mapping[str, Verdict]) -> Section | None:
    """Students and teachers by size, if at least two sizes are known."""
    metric = next(iter(runs.values())).metric
    arms: list[tuple[str, str, Arm]] = []
    for run, verdict in runs.items():
        arms += [] if verdict.teacher is None else [("teacher", f"{run}, teacher", verdict.teacher)]
        arms += [("student", label, one.student) for label, one in by_result({run: verdict}).items()]
    points = [
        Point(arm, _short(label), found.parameters, found.metric, found.ci95) for arm, label, found in arms if found.parameters
    ]
    if len({point.size for point in points}) < 2:
        return None
    svg = draw("size-runs", points, [], metric.name, metric.percent, number_format.count)
    rows = [
        (escape(p.name), number_format.count(p.size), number_format.measured(p.metric, p.ci95, as_percent=metric.percent))
        for p in points
    ]
    caption = "Students are discs, teachers squares; parameters on a logarithmic scale, whiskers are 95 % intervals."
    behind = table("Plotted values", ["", "parameters", escape(metric.name)], rows)
    drawn = figure("size-runs", "By parameters", svg, caption, behind)
    return Section("size", f"Size against {metric.name}", grid([drawn], two=True))


def _targets(runs: Mapping[str, Verdict]) -> Section | None:
    names = list(dict.fromkeys(name for verdict in runs.values() for name in verdict.targets))
    if not names:
        return None
    rows = []
    for run, verdict in runs.items():
        cells = [verdict.targets.get(name) for name in names]
        marks = [number_format.NONE if cell is None else mark(cell.met, "met" if cell.met else "missed") for cell in cells]
        rows.append((escape(run), *marks))
    return Section("targets", "Targets", table("Targets of each recipe", ["run", *map(escape, names)], rows))


def _recipes(recipes: Mapping[str, Path]) -> Section:
    """The values in which the recipes differ."""
    gone = [run for run, path in recipes.items() if not path.exists()]
    flat = {run: dict(_flat(appendix.read(path))) for run, path in recipes.items() if path.exists()}
    fields = dict.fromkeys(field for values in flat.values() for field in values)
    differing = [
        f for f in fields if len({values.get(f, _MISSING) for values in flat.values()}) > 1 and f not in ("name", "description")
    ]
    rows = [(f"<code>{escape(f)}</code>", *(escape(values.get(f, _MISSING)) for values in flat.values())) for f in differing]
    note = f"<p>The recipe of {escape(', '.join(gone))} is missing.</p>" if gone else ""
    same = "" if rows or len(flat) < 2 else "<p>The recipes are equal.</p>"
    shown = table("Values that differ", ["field", *map(escape, flat)], rows, tall=len(rows) > 20) if rows else ""
    return Section("recipes", "Where the recipes differ", note, same, shown)


def _flat(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a recipe with its path: `teacher.args.depth`, `terms.0.weight`."""
    parts = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else None
    if parts is None or not content:
        yield path, "none" if content is None else str(content)
        return
    for name, part in parts:
        yield from _flat(part, f"{path}.{name}" if path else str(name))


def _environments(runs: Mapping[str, Verdict]) -> Section:
    names = list(dict.fromkeys(name for verdict in runs.values() for name in verdict.environment))
    rows = [
        (escape(name), *(escape(str(verdict.environment.get(name, number_format.NONE))) for verdict in runs.values()))
        for name in names
    ]
    return Section("environment", "Environment", table("Where each run was measured", ["", *map(escape, runs)], rows))
