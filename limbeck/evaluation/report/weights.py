"""The weights that weighers and ensembles gave to items during training: mean and spread over the updates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

import numpy as np

from limbeck.core.weight_statistics import BALANCE
from limbeck.evaluation import number_format
from limbeck.evaluation.report.canvas import COLOURS, INK, LINES, Canvas, cut, strip_zeros, widest
from limbeck.evaluation.report.page import TITLES, figure, table
from limbeck.evaluation.training_curves import ClassWeights, Curve, Weights

FIGURES = 12
CLASSES = 20  # in a figure; the table has all
LINES_PER_FIGURE = 8
SHORT = 12  # characters of a name at the end of its line
_ALONE = ("item_weight", "temperature")  # have a figure of their own; members of an ensemble share one
_STYLES = (INK, "-"), (COLOURS["control"], LINES["control"]), (COLOURS["student"], "-."), (COLOURS["teacher"], LINES["teacher"])
MEMBERS = "members"
_MARKS = (  # of up to four weighers: whose colour it has, marker, hollow, word
    ("ink", "o", False, "discs"),
    ("control", "o", True, "rings"),
    ("student", "s", False, "squares"),
    ("teacher", "D", False, "diamonds"),
)
Lines = Mapping[str, tuple[Curve, Curve]]  # weigher or member -> mean, spread


def weight_figures(weights: Weights, terms: Collection[str]) -> list[str]:
    """A figure for each term and training arm: a line for each weigher or member, with its spread as a band.

    Args:
        terms: the names of the run's terms, which may have dots, as the names of members.
    """
    grouped: dict[tuple[str, str, str], dict[str, dict[int, tuple[Curve, Curve]]]] = {}
    for name, by_training in weights.items():
        term, weigher = _split(name, terms)
        shared = weigher if weigher in _ALONE else MEMBERS
        for (arm, seed), curves in by_training.items():
            grouped.setdefault((arm, term, shared), {}).setdefault(weigher, {})[seed] = curves
    figures = []
    for at, ((arm, term, shared), lines) in enumerate(list(grouped.items())[:FIGURES]):
        averaged = {weigher: _mean_over_seeds(by_seed.values()) for weigher, by_seed in lines.items()}
        figures.append(_figure(f"weights-{at}", _title(term, shared, arm), averaged))
    return figures


def class_figures(weights: ClassWeights, terms: Collection[str], classes: Sequence[str]) -> list[str]:
    """A figure for each term and training arm: a row for each class, a mark for each weigher or member.

    Args:
        terms: the names of the run's terms.
        classes: their names; a class without one is shown by its number.
    """
    grouped: dict[tuple[str, str, str], dict[str, dict[int, float]]] = {}
    for name, by_arm in weights.items():
        term, weigher = _split(name, terms)
        for arm, by_class in by_arm.items():
            grouped.setdefault((arm, term, weigher if weigher in _ALONE else MEMBERS), {})[weigher] = by_class
    figures = (
        _class_figure(f"class-weights-{at}", f"{_title(term, shared, arm)} by class", columns, classes)
        for at, ((arm, term, shared), columns) in enumerate(list(grouped.items())[:FIGURES])
    )
    return list(filter(None, figures))


def _class_figure(name: str, title: str, columns: Mapping[str, Mapping[int, float]], classes: Sequence[str]) -> str:
    first = next(iter(columns.values()))
    order = sorted({at for own in columns.values() for at in own}, key=lambda at: -first.get(at, 0.0))
    if len(order) < 2:
        return ""
    names = [classes[at] if at < len(classes) else str(at) for at in order]
    rows = [
        (escape(shown), *(number_format.NONE if at not in own else _number(own[at]) for own in columns.values()))
        for shown, at in zip(names, order, strict=True)
    ]
    behind = table(title, ["class", *map(escape, columns)], rows, tall=len(rows) > CLASSES)
    drawn = draw_classes(name, names[:CLASSES], [[own.get(at) for at in order[:CLASSES]] for own in columns.values()])
    return figure(name, title, drawn, _class_caption(list(columns), len(order)), behind, level=4)


def _class_caption(weighers: Sequence[str], classes: int) -> str:
    shapes = ", ".join(f"{shape} {weigher}" for (*_, shape), weigher in zip(_MARKS, weighers, strict=False))
    text = f"Mean weight of the items of each class in the last quarter of the training: {shapes}."
    return text + (f" The figure shows {CLASSES} of {classes} classes, the table all." if classes > CLASSES else "")


def draw_classes(name: str, names: Sequence[str], columns: Sequence[Sequence[float | None]]) -> str:
    """A row for each class with a mark for each weigher."""
    longest = widest(cut(one, SHORT) for one in names)
    canvas = Canvas(54 + 19 * len(names), width=300, left=14 + longest, right=14, top=8)
    for (arm, marker, hollow, _), values in zip(_MARKS, columns, strict=False):
        for at, value in enumerate(values):
            if value is not None:
                canvas.mark(arm, value, at, marker=marker, hollow=hollow, size=6.5)
    canvas.rows([cut(one, SHORT) for one in names])
    canvas.axes.locator_params(axis="x", nbins=4)
    canvas.label("x", "mean weight")
    return canvas.svg(name)


def _title(term: str, shared: str, arm: str) -> str:
    if term == BALANCE:
        return "balance: factor of each term's weight" + ("" if arm == "student" else f" in {TITLES.get(arm, arm)}")
    what = "weight of each teacher" if shared == MEMBERS else shared.replace("_", " ")
    return f"{term}: {what}" + ("" if arm == "student" else f" in {TITLES.get(arm, arm)}")


def _split(name: str, terms: Collection[str]) -> tuple[str, str]:
    """Term and weigher of a logged name; the longest term that fits, since members have dots too."""
    fitting = [term for term in terms if name.startswith(f"{term}.")]
    term = max(fitting, key=len) if fitting else name.partition(".")[0]
    return term, name.removeprefix(f"{term}.")


def _mean_over_seeds(curves: Iterable[tuple[Curve, Curve]]) -> tuple[Curve, Curve]:
    """Mean and spread at each update, averaged over the seeds that have it."""
    found = list(curves)
    updates = sorted({update for mean, _ in found for update in mean})
    mean, spread = (
        {update: float(np.mean([pair[part][update] for pair in found if update in pair[part]])) for update in updates}
        for part in (0, 1)
    )
    return mean, spread


def _figure(name: str, title: str, lines: Lines) -> str:
    updates = sorted({update for mean, _ in lines.values() for update in mean})
    chosen = sorted({updates[int(share * (len(updates) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)})
    rows = [
        (escape(weigher), *(_cell(mean.get(update), spread.get(update)) for update in chosen))
        for weigher, (mean, spread) in lines.items()
    ]
    behind = table(f"{title}, by update: mean ± standard deviation over items", ["", *(f"{at:,}" for at in chosen)], rows)
    return figure(name, title, draw(name, lines), _caption(lines), behind, level=4)


def _cell(mean: float | None, spread: float | None) -> str:
    if mean is None or spread is None:
        return number_format.NONE
    return f"{_number(mean)} ± {_number(spread)}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _caption(lines: Lines) -> str:
    ends = ", ".join(f"{name} {_number(mean[min(mean)])} → {_number(mean[max(mean)])}" for name, (mean, _) in lines.items())
    text = f"Mean weight over the items of an interval: {ends}. Bands are one standard deviation over items."
    return text + (f" The first {LINES_PER_FIGURE} are drawn." if len(lines) > LINES_PER_FIGURE else "")


def draw(name: str, lines: Lines) -> str:
    """A line for each weigher or member with its name at the end, in a band of its spread."""
    tails = [weigher.rpartition(".")[2] for weigher in lines]
    names = [cut(name, SHORT) for name in (tails if len(set(tails)) == len(tails) else lines)]
    canvas = Canvas(190, width=300, right=20 + 6 * max(map(len, names)), left=44)
    ends = []
    for at, (mean, spread) in enumerate(list(lines.values())[:LINES_PER_FIGURE]):
        colour, style = _STYLES[at % len(_STYLES)]
        x = np.array(sorted(mean), dtype=np.float64)
        middle, around = (np.array([curve[int(update)] for update in x]) for curve in (mean, spread))
        marker = {"marker": "o", "markersize": 3.5} if len(x) < 3 else {}
        canvas.axes.fill_between(x, middle - around, middle + around, color=colour, alpha=0.13, linewidth=0)
        canvas.axes.plot(x, middle, color=colour, linestyle=style, linewidth=1.6, alpha=0.9, **marker)
        ends.append((float(middle[-1]), names[at], colour))
    canvas.axes.locator_params(axis="y", nbins=5)
    canvas.axes.locator_params(axis="x", nbins=4, integer=True)
    canvas.axes.xaxis.set_major_formatter(lambda value, _: strip_zeros(number_format.count(value)))
    canvas.label("x", "update")
    canvas.at_right(ends)
    return canvas.svg(name)
