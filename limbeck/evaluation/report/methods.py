"""The page of a comparison: every method on one pair of models, with what the ranking can tell and what it cannot."""

from __future__ import annotations

from html import escape
from pathlib import Path

from limbeck.evaluation import number_format
from limbeck.evaluation.comparison import ComparisonVerdict, MethodResult, row_cells
from limbeck.evaluation.report import appendix
from limbeck.evaluation.report.canvas import SOFT, Canvas, cut
from limbeck.evaluation.report.page import Section, figure, head, paragraph, stacked, table, write_page

FILE = "comparison.json"
SHORT = 22


def is_comparison(folder: Path) -> bool:
    """Whether a directory is that of a comparison, finished or not."""
    return (folder / FILE).exists() or "variants" in appendix.read(folder / "recipe.yaml")


def write_comparison(folder: str | Path, out: Path | None = None) -> Path:
    """Write `report.html` into the folder of a comparison, or to `out`, from its `comparison.json`.

    Raises:
        FileNotFoundError: the folder holds no comparison that is finished.
        ValueError: what it holds is none that this version can read.
    """
    place = Path(folder)
    verdict = load(place)
    recipe = place / "recipe.yaml"
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
    return write_page(out or place / "report.html", verdict.name, top, sections, "comparison.json and recipe.yaml")


def load(folder: Path) -> ComparisonVerdict:
    """The verdict of a finished comparison, with errors that say what to do."""
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: no comparison here; `limbeck compare` writes it when its last run has ended")
    try:
        return ComparisonVerdict.load(path)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: no comparison of format 2 ({reason}); made by a newer limbeck? Then upgrade this one"
        ) from error


def sentence(verdict: ComparisonVerdict) -> str:
    """The ranking in a line: who is better than the control for sure, and who may be the best."""
    gains = [row.gain for row in verdict.rows.values() if row.gain is not None]
    better = sum(gain.effect and gain.value > 0 for gain in gains)
    worse = sum(gain.effect and gain.value < 0 for gain in gains)
    first = [name for name, row in verdict.rows.items() if row.rank[0] == 1]
    best = f"{first[0]} is first" if len(first) == 1 else f"{len(first)} share the first place"
    harmed = f", {worse} worse" if worse else ""
    return f"{better} of {len(gains)} methods are better than the control{harmed}; {best}"


def _ranking(verdict: ComparisonVerdict) -> Section:
    metric = escape(verdict.metric.name)
    rows = [
        (f"{escape(name)}{' (control)' if name == verdict.control else ''}", *map(stacked, row_cells(verdict, row)))
        for name, row in verdict.rows.items()
    ]
    behind = table(
        "Every method, best first", ["method", metric, "gain over the control", "places", "seconds"], rows, tall=len(rows) > 30
    )
    drawn = figure(
        "methods", f"Every method by {verdict.metric.name}", methods_figure(verdict), _says(verdict), behind, wide=True
    )
    return Section("ranking", "Ranking", drawn)


def _says(verdict: ComparisonVerdict) -> str:
    best = next(iter(verdict.rows))
    reached = number_format.measured(verdict.rows[best].metric, verdict.rows[best].ci95, as_percent=verdict.metric.percent)
    said = (
        f"Highest stands {best} with {reached}. Discs are surely better than the control, rings no effect, crosses worse. "
        "Whiskers and the band, which is the control’s, are 95 % intervals; at the right the places that the data leave open."
    )
    teacher = number_format.measured(verdict.teacher, as_percent=verdict.metric.percent)
    return said + ("" if verdict.teacher is None else f" The teacher reaches {teacher}.")


def _failed(verdict: ComparisonVerdict) -> Section:
    rows = [(escape(name), escape(reason)) for name, reason in verdict.failed.items()]
    return Section(
        "failed", "Methods that failed", table("What went wrong", ["method", "reason"], rows, text=1) if rows else ""
    )


def _limits(verdict: ComparisonVerdict) -> Section:
    shared = sum(row.rank[0] != row.rank[1] for row in verdict.rows.values())
    return Section(
        "limits",
        "What the ranking can tell",
        paragraph(
            "Two methods are told apart where the 95 % interval of their paired difference, over the same test items and "
            "seeds, keeps clear of zero. Where it does not they are a tie, however their means are ordered: the places of a "
            "method run from one more than those surely better, to all but those surely worse. "
            f"{shared} of {len(verdict.rows)} methods have more than one place open."
        ),
        paragraph(
            "It cannot tell how the methods would stand with weights tuned for this task, with other models, other data or "
            f"longer training: each was given the one setting of the recipe, the same steps and {len(verdict.seeds)} seeds. "
            "The intervals are not widened for the number of pairs, so that of many equal methods a few will look different "
            "by chance."
        ),
    )


def methods_figure(verdict: ComparisonVerdict) -> str:
    """A dot with its whisker for every method, best first, as an `<svg>` element that stands alone as well."""
    rows = verdict.rows
    longest = max(len(cut(name, SHORT)) for name in rows)
    canvas = Canvas(56 + 19 * len(rows), left=14 + 6.4 * longest, right=48, top=22, bottom=40)
    axes = canvas.axes
    control = rows.get(verdict.control)
    if control is not None:
        axes.axvspan(*control.ci95, color=SOFT, alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(control.metric, color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1)
    for place, (name, row) in enumerate(rows.items()):
        arm, marker, hollow = _look(name, row, verdict.control)
        canvas.whisker(arm, row.ci95, [place, place])
        canvas.mark(arm, row.metric, place, marker=marker, hollow=hollow, size=6.5)
        canvas.beside(place, _places(row))
    canvas.beside(-0.95, "places")
    canvas.rows([cut(name, SHORT) for name in rows])
    axes.locator_params(axis="x", nbins=5)
    canvas.label("x", verdict.metric.name, percent=verdict.metric.percent)
    return canvas.svg("methods")


def _look(name: str, row: MethodResult, control: str) -> tuple[str, str, bool]:
    """Whose colour a method has, its marker, and whether that is hollow."""
    if name == control:
        return "control", "o", True
    if row.gain is None or not row.gain.effect:
        return "teacher", "o", True
    return ("student", "o", False) if row.gain.value > 0 else ("teacher", "x", False)


def _places(row: MethodResult) -> str:
    return f"{row.rank[0]}" if row.rank[0] == row.rank[1] else f"{row.rank[0]}–{row.rank[1]}"
