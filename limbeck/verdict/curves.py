"""Training curves: `log.jsonl` read into series, and each series drawn as one small SVG.

The drawings hold numbers only, no text from files; headings and legends are the page's. Lines and labels take the
page's text colour, so that one drawing serves light and dark.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Curve: TypeAlias = dict[int, float]  # update -> value
Curves: TypeAlias = dict[str, dict[tuple[str, int], Curve]]  # quantity -> (arm, seed) -> curve

COLOURS = {"student": "#d9730d", "alone": "#4c8bd6", "teacher": "#8a8f98"}
_INK = "#010203"  # stands for the page's text colour until the drawing is done
_POINTS = 400  # a small drawing shows no more


def read_curves(log: Path) -> tuple[Curves, Curves]:
    """Training and validation curves of a `log.jsonl`.

    Lines that are no JSON object (a run that was killed leaves half of one) are passed over. Stages follow each other
    on one axis. Updates logged twice, by a run that was resumed, keep their last value.
    """
    training: Curves = defaultdict(lambda: defaultdict(dict))
    validation: Curves = defaultdict(lambda: defaultdict(dict))
    clock = _Clock()
    for line in _objects(log):
        who = (str(line.get("arm", "student")), _whole(line.get("seed")) or 0)
        update = clock.update(who, line)
        if update is None:
            continue
        for curves, key in ((training, "values"), (validation, "validation")):
            for quantity, value in _numbers(line.get(key)):
                curves[quantity][who][update] = value
    return training, validation


class _Clock:
    """Updates since the start of the run. Rounds count from 0 in every stage; a stage begins where the last one
    ended."""

    def __init__(self) -> None:
        self.stage: dict[tuple[str, int], int] = {}
        self.start: dict[tuple[tuple[str, int], int], int] = {}
        self.latest: dict[tuple[str, int], int] = defaultdict(int)

    def update(self, who: tuple[str, int], line: Mapping[str, Any]) -> int | None:
        round = _whole(line.get("round"))
        if round is None:
            return None
        stage = _whole(line.get("stage"))
        stage = self.stage.get(who, 0) if stage is None else stage  # validation lines need not say
        self.stage[who] = stage
        if (who, stage) not in self.start:
            self.start[who, stage] = self.latest[who]
        update = self.start[who, stage] + round
        self.latest[who] = max(self.latest[who], update)
        return update


def _objects(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                content = json.loads(line)
            except ValueError:
                continue
            if isinstance(content, dict):
                yield content


def _numbers(values: object) -> Iterator[tuple[str, float]]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield str(name), float(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def draw(curves: Mapping[tuple[str, int], Curve]) -> str:
    """One quantity as an inline SVG: a line per arm and seed, coloured by arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.0, 2.2), layout="constrained")
        axes = figure.add_subplot()
        for (arm, _), curve in sorted(curves.items()):
            x, y = _thinned(curve)
            marker = "o" if len(x) == 1 else None
            axes.plot(x, y, color=COLOURS.get(arm, _INK), linewidth=1.4, alpha=0.8, marker=marker, markersize=4)
        _quiet(axes)
        return _inline(figure)


def _thinned(curve: Curve) -> tuple[list[float], list[float]]:
    """At most `_POINTS` points, each the mean of its stretch; what is not finite leaves a gap."""
    x = np.array(sorted(curve), dtype=np.float64)
    y = np.array([curve[int(update)] for update in x])
    y[~np.isfinite(y)] = np.nan
    if len(x) > _POINTS:
        pieces = min(_POINTS, len(x))
        x = np.array([piece.mean() for piece in np.array_split(x, pieces)])
        y = np.array([piece.mean() for piece in np.array_split(y, pieces)])
    return x.tolist(), y.tolist()


def _quiet(axes: Any) -> None:
    """Little ink: two thin axes, a faint grid, few ticks."""
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
        axes.spines[side].set_alpha(0.35)
    axes.tick_params(colors=_INK, length=3, width=0.6)
    axes.grid(axis="y", color=_INK, alpha=0.12, linewidth=0.7)
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.locator_params(axis="y", nbins=4)


def _inline(figure: Any) -> str:
    """The figure as an `<svg>` element that needs nothing outside the page."""
    buffer = io.StringIO()
    silent = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=silent)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")
