"""One look for all drawings: small matplotlib figures that become SVG inside the page and take its colours.

A drawing is 340 units wide, the width of a phone, so that its letters are as large there as the text around it. Colours are
names of the page's: one drawing serves light, dark and paper. Every arm has a shape beside its colour.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from limbeck.evaluation import number_format
from limbeck.evaluation.report.style import LIGHT

WIDTH = 340
INK, SOFT = "#010203", "#010204"
COLOURS = {"student": "#010205", "control": "#010206", "teacher": "#010207"}
MARKERS = {"student": "o", "control": "o", "teacher": "s"}
LINES = {"student": "-", "control": (0, (4, 2)), "teacher": (0, (1, 1.5))}
HOLLOW = frozenset({"control"})
_NAMES = {INK: "currentColor", SOFT: "soft"} | {colour: arm for arm, colour in COLOURS.items()}
_PAPER = "#010208"  # what is left open inside a hollow mark
_NAMES[_PAPER] = "page"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "limbeck",
    "font.family": "sans-serif",
    "font.size": 11,
    "path.simplify": True,
}
_LINE = 14.0  # points between two labels
NARROW = 5  # so many times the smallest are the largest sizes, at most, that stand close together


class Canvas:
    """A figure with one pair of axes. The margins are fixed, in points: left, right, bottom and top of the axes."""

    def __init__(
        self,
        height: float = 220,
        *,
        width: float = WIDTH,
        left: float = 46,
        right: float = 12,
        bottom: float = 38,
        top: float = 12,
    ) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        self.inner, self.right = height - bottom - top, right
        with matplotlib.rc_context(_STYLE):
            self.figure = Figure(figsize=(width / 72, height / 72))
            place = (left / width, bottom / height, (width - left - right) / width, self.inner / height)
            self.axes: Any = self.figure.add_axes(place)
        self._quiet()

    def _quiet(self) -> None:
        """Little ink: two thin axes and a faint grid."""
        axes = self.axes
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set(color=INK, alpha=0.4, linewidth=0.8)
        axes.tick_params(which="both", color=INK, labelcolor=INK, labelsize=11, length=3, width=0.6)
        axes.grid(axis="y", color=INK, alpha=0.13, linewidth=0.7)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(color=SOFT, size=11)

    def mark(
        self, arm: str, x: float, y: float, *, marker: str = "", hollow: bool | None = None, size: float = 8, **more: Any
    ) -> None:
        """One point of an arm, in its shape and colour."""
        hollow = arm in HOLLOW if hollow is None else hollow
        colour = COLOURS.get(arm, INK)
        inside = _PAPER if hollow else colour
        self.axes.plot(
            [x], [y], marker=marker or MARKERS.get(arm, "o"), markersize=size, color=colour,
            markerfacecolor=inside, markeredgewidth=1.8, linestyle="none", zorder=4, clip_on=False, **more,
        )  # fmt: skip

    def whisker(self, arm: str, x: Sequence[float], y: Sequence[float]) -> None:
        self.axes.plot(x, y, color=COLOURS.get(arm, INK), linewidth=1.6, zorder=3, solid_capstyle="butt")

    def text(self, x: float, y: float, text: str, colour: str = INK, **more: Any) -> None:
        """Words beside a point, in the units of the axes."""
        given = {"ha": "left", "va": "center", "size": 11, "xytext": (7, 0)} | more
        self._write(text, (x, y), color=colour, **given)

    def at_right(self, labels: Iterable[tuple[float, str, str]]) -> None:
        """Words at the right edge, each (y, text, colour) at its height, moved apart where they would touch."""
        low, high = self.axes.get_ylim()
        forward = self.axes.yaxis.get_transform().transform
        bottom, top = forward([low, high])
        wanted = sorted((float((forward([y])[0] - bottom) / (top - bottom)), text, colour) for y, text, colour in labels)
        heights = apart([height for height, *_ in wanted], _LINE / self.inner)
        for height, (_, text, colour) in zip(heights, wanted, strict=True):
            self._write(
                text, (1, height), xycoords="axes fraction", xytext=(5, 0), ha="left", va="center", size=11, color=colour
            )

    def beside(self, y: float, text: str, colour: str = INK) -> None:
        """Words in a column at the right of the axes, flush with the edge, at a height of the data."""
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "xytext": (self.right - 2, 0), "ha": "right"}
        self._write(text, (1, y), va="center", size=11, color=colour, **place)

    def _write(self, text: str, at: tuple[float, float], **look: Any) -> None:
        self.axes.annotate(plain(text), at, textcoords="offset points", annotation_clip=False, parse_math=False, **look)

    def rows(self, names: Sequence[str]) -> None:
        """A name for each row, the first at the top: the y axis of a drawing of dots."""
        axes = self.axes
        axes.set_yticks(range(len(names)), [plain(name) for name in names], parse_math=False)
        axes.set_ylim(len(names) - 0.45, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=INK, alpha=0.13, linewidth=0.7)

    def label(self, axis: str, text: str, *, percent: bool = False) -> None:
        """What an axis (`x` or `y`) shows; as a percentage where the values are fractions that are read as such."""
        own = getattr(self.axes, f"{axis}axis")
        if percent:
            percent_axis(own)
        own.set_label_text(plain(f"{text}, %" if percent else text), parse_math=False)

    def svg(self, name: str) -> str:
        """The drawing as an `<svg>` element that needs nothing outside the page; `name` keeps its ids apart from others'."""
        import matplotlib

        buffer = io.StringIO()
        silent = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a letter that matplotlib's font lacks, the browser's has
            self.figure.savefig(buffer, format="svg", transparent=True, metadata=silent)
        svg = buffer.getvalue()
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        return rename(_in_page_colours(svg), name).replace("<svg", '<svg class="plot"', 1)


def _in_page_colours(svg: str) -> str:
    """The page's names for colours; outside a page, the light ones."""
    for colour, name in _NAMES.items():
        svg = svg.replace(colour, f"var(--{name}, {LIGHT[name]})" if name in LIGHT else name)
    return svg


def rename(svg: str, name: str) -> str:
    """The same drawing with ids of its own: several on one page must not answer to each other's."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)


def apart(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Ascending places at least `gap` apart, as near as may be to those wanted; within [low, high] if there is room."""
    places = [max(value, low) for value in wanted]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + gap)
    limit = high
    for at in reversed(range(len(places))):
        places[at] = min(places[at], limit)
        limit = places[at] - gap
    return places


def log_x(canvas: Canvas, unit: Any = number_format.count) -> None:
    """A logarithmic x axis whose ticks are written as people read them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = canvas.axes.xaxis
    canvas.axes.set_xscale("log")
    low, high = canvas.axes.get_xlim()
    ratio = high / low
    subs: tuple[float, ...] = (1.0,) if ratio > 300 else (1.0, 3.0) if ratio > 8 else (1.0, 2.0, 5.0)
    if ratio < NARROW:  # too little for round steps of a logarithm, and all that are finer would touch
        axis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(10, subs=subs, numticks=12))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tidy(unit(value))))


def tidy(text: str) -> str:
    """`100 k` rather than `100.00 k`: ticks are round numbers."""
    return re.sub(r"\.0+(?= |$)|(\.\d*?[1-9])0+(?= |$)", r"\1", text)


def log_y(canvas: Canvas) -> None:
    """A logarithmic y axis, its ticks in plain figures."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = canvas.axes.yaxis
    canvas.axes.set_yscale("log")
    low, high = canvas.axes.get_ylim()
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 100 else (1.0, 3.0), numticks=6))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def percent_axis(axis: Any) -> None:
    """Ticks of fractions, as percentages."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}".replace("-", "−")))


def plain(text: str) -> str:
    """Without what is no text at all, such as the lone surrogates that JSON may hold."""
    return text.encode(errors="replace").decode()


def cut(text: str, length: int) -> str:
    """At most so many letters, the last of them an ellipsis where there were more."""
    return text if len(text) <= length else text[: length - 1] + "…"
