"""The page of a comparison: the ranking of all methods on one pair of models, and its limits."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path

from limbeck.evaluation import number_format
from limbeck.evaluation.comparison import ComparisonVerdict, MethodResult, format_ranks, row_cells
from limbeck.evaluation.report import appendix
from limbeck.evaluation.report.canvas import SOFT, Canvas, cut, widest
from limbeck.evaluation.report.page import Section, figure, head, paragraph, stacked, table, write_page

FILE = "comparison.json"
SHORT = 22


def is_comparison(folder: Path) -> bool:
    """Whether a folder is that of a comparison, finished or not."""
    return (folder / FILE).exists() or "variants" in appendix.read(folder / "recipe.yaml")


def write_comparison(folder: str | Path, out: Path | None = None) -> Path:
    """Write `report.html` into the folder of a comparison, or to `out`, from its `comparison.json`.

    Raises:
        FileNotFoundError: the folder holds no finished comparison.
        ValueError: it is not a comparison that this version reads.
    """
    run = Path(folder)
    verdict = load_comparison(run)
    recipe = run / "recipe.yaml"
    sections = [
        _ranking(verdict),
        _failed(verdict),
        _limits(verdict),
        appendix.recipe(recipe),
        appendix.papers(recipe),
        appendix.environment_of({**verdict.environment, "seeds": ", ".join(map(str, verdict.seeds))}),
    ]
    facts = [verdict.task, f"{len(verdict.rows)} methods", f"{len(verdict.seeds)} seeds", f"{verdict.items:,} test items"]
    top = head(verdict.name, sentence(verdict), facts)
    return write_page(out or run / "report.html", verdict.name, top, sections, "comparison.json and recipe.yaml")


def load_comparison(folder: Path) -> ComparisonVerdict:
    """Loads the verdict of a finished comparison."""
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: no comparison here; `limbeck compare` writes it when its last run has ended")
    try:
        return ComparisonVerdict.load(path)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        command = shlex.join(["limbeck", "compare", str(folder / "recipe.yaml"), "--out", str(folder), "--resume"])
        raise ValueError(
            f"{path}: no comparison of format 2 ({reason}); made by a newer limbeck? Then upgrade this one. If it is damaged, "
            f"write it anew from its runs with: {command}"
        ) from error


def sentence(verdict: ComparisonVerdict) -> str:
    """The ranking in one line: how many methods are better than the control, and which may be the best."""
    gains = [row.gain for row in verdict.rows.values() if row.gain is not None]
    better = sum(gain.effect and gain.value > 0 for gain in gains)
    worse = sum(gain.effect and gain.value < 0 for gain in gains)
    first = [name for name, row in verdict.rows.items() if row.rank[0] == 1]
    best = f"{first[0]} is first" if len(first) == 1 else f"{len(first)} share first place"
    harmed = f", {worse} worse" if worse else ""
    return f"{better} of {len(gains)} methods are better than the control{harmed}; {best}"


def _ranking(verdict: ComparisonVerdict) -> Section:
    metric = escape(verdict.metric.name)
    rows = [
        (f"{escape(name)}{' (control)' if name == verdict.control else ''}", *map(stacked, row_cells(verdict, row)))
        for name, row in verdict.rows.items()
    ]
    behind = table(
        "Every method, best first", ["method", metric, "gain over the control", "ranks", "seconds"], rows, tall=len(rows) > 30
    )
    drawn = figure(
        "methods", f"Every method by {verdict.metric.name}", methods_figure(verdict), _caption(verdict), behind, wide=True
    )
    return Section("ranking", "Ranking", drawn)


def _caption(verdict: ComparisonVerdict) -> str:
    best = next(iter(verdict.rows))
    reached = number_format.measured(verdict.rows[best].metric, verdict.rows[best].ci95, as_percent=verdict.metric.percent)
    text = (
        f"{best} is first with {reached}. Discs are better than the control, rings show no effect, crosses are worse. "
        "Whiskers, and the band of the control, are 95 % intervals; the possible ranks are on the right."
    )
    teacher = number_format.measured(verdict.teacher, as_percent=verdict.metric.percent)
    return text + ("" if verdict.teacher is None else f" The teacher reaches {teacher}.")


def _failed(verdict: ComparisonVerdict) -> Section:
    rows = [(escape(name), escape(reason)) for name, reason in verdict.failed.items()]
    return Section("failed", "Methods that failed", table("Failures", ["method", "reason"], rows, text=1) if rows else "")


def _limits(verdict: ComparisonVerdict) -> Section:
    shared = sum(row.rank[0] != row.rank[1] for row in verdict.rows.values())
    return Section(
        "limits",
        "Limits of the ranking",
        paragraph(
            "Two methods differ if the 95 % interval of their paired difference, over the same test items and seeds, does not "
            "contain zero. Otherwise they tie, whatever the order of their means: the ranks of a method run from one more than "
            "the number of better methods to the number of those that are not worse. "
            f"{shared} of {len(verdict.rows)} methods have more than one possible rank."
        ),
        paragraph(
            "The ranking holds for the weights, models, data and training length of this recipe: each method had the one "
            f"setting of the recipe, the same number of steps and {len(verdict.seeds)} seeds. The intervals are not corrected "
            "for the number of pairs, so that among many equal methods a few will look different by chance."
        ),
    )


def methods_figure(verdict: ComparisonVerdict) -> str:
    """A dot with its whisker for every method, best first, as an `<svg>` element that also works outside a page."""
    rows = verdict.rows
    longest = widest(cut(name, SHORT) for name in rows)
    canvas = Canvas(56 + 19 * len(rows), left=14 + longest, right=48, top=22, bottom=40)
    axes = canvas.axes
    control = rows.get(verdict.control)
    if control is not None:
        axes.axvspan(*control.ci95, color=SOFT, alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(control.metric, color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
    for index, (name, row) in enumerate(rows.items()):
        arm, marker, hollow = _look(name, row, verdict.control)
        canvas.whisker(arm, row.ci95, [index, index])
        canvas.mark(arm, row.metric, index, marker=marker, hollow=hollow, size=6.5)
        canvas.beside(index, format_ranks(row))
    canvas.beside(-0.95, "ranks")
    canvas.rows([cut(name, SHORT) for name in rows])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", verdict.metric.name, percent=verdict.metric.percent)
    return canvas.svg("methods")


def _look(name: str, row: MethodResult, control: str) -> tuple[str, str, bool]:
    """The arm whose colour a method has, its marker, and whether that is hollow."""
    if name == control:
        return "control", "o", True
    if row.gain is None or not row.gain.effect:
        return "teacher", "o", True
    return ("student", "o", False) if row.gain.value > 0 else ("teacher", "x", False)
