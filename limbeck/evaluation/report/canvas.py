"""Small matplotlib figures as SVG in the style and colours of the page.

A figure is 340 units wide, the width of a phone, so that its letters are as large there as the text around it. Colours are CSS
variables of the page: the same figure works in light, dark and print. Every arm has a shape as well as a colour.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from limbeck.evaluation import number_format
from limbeck.evaluation.report.style import LIGHT

WIDTH = 340
LABEL = 11.0  # points, the size of names
FAMILY = "'DejaVu Sans', sans-serif"
INK, SOFT = "#010203", "#010204"
COLOURS = {"student": "#010205", "control": "#010206", "teacher": "#010207"}
FURTHER = "further"  # stands for every control besides that on labels only
MARKERS = {"student": "o", "control": "o", "teacher": "s", FURTHER: "D"}
LINES = {"student": "-", "control": (0, (4, 2)), "teacher": (0, (1, 1.5))}
HOLLOW = frozenset({"control", FURTHER})
_NAMES = {INK: "currentColor", SOFT: "soft"} | {colour: arm for arm, colour in COLOURS.items()}
COLOURS[FURTHER] = SOFT
_PAPER = "#010208"  # the inside of a hollow mark
_NAMES[_PAPER] = "page"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "limbeck",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # by whose widths texts are placed; each text of an SVG repeats this list
    "font.size": 11,
    "path.simplify": True,
}
_LINE = 14.0  # points between two labels
NARROW = 5  # below this ratio of the largest to the smallest size, ticks are not logarithmic


class Canvas:
    """A figure with one pair of axes and fixed margins, in points."""

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
            bounds = (left / width, bottom / height, (width - left - right) / width, self.inner / height)
            self.axes: Any = self.figure.add_axes(bounds)
        self._style_axes()

    def _style_axes(self) -> None:
        """Two thin axes and a faint grid."""
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
        """A point in the shape and colour of an arm."""
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
        """Text beside a point, in data coordinates."""
        given = {"ha": "left", "va": "center", "size": 11, "xytext": (7, 0)} | more
        self._write(text, (x, y), color=colour, **given)

    def at_right(self, labels: Iterable[tuple[float, str, str]]) -> None:
        """Texts (y, text, colour) at the right edge, moved apart where they would overlap."""
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
        """Text in a column right of the axes, flush right, at a height of the data."""
        position: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "xytext": (self.right - 2, 0), "ha": "right"}
        self._write(text, (1, y), va="center", size=11, color=colour, **position)

    def _write(self, text: str, at: tuple[float, float], **look: Any) -> None:
        self.axes.annotate(
            without_surrogates(text), at, textcoords="offset points", annotation_clip=False, parse_math=False, **look
        )

    def rows(self, names: Sequence[str]) -> None:
        """Names of rows, the first at the top, as the y axis of a dot plot."""
        axes = self.axes
        axes.set_yticks(range(len(names)), [without_surrogates(name) for name in names], parse_math=False)
        axes.set_ylim(len(names) - 0.45, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=INK, alpha=0.13, linewidth=0.7)

    def label(self, axis: str, text: str, *, percent: bool = False) -> None:
        """The label of an axis (`x` or `y`); `percent`: its values are fractions shown as percentages."""
        own = getattr(self.axes, f"{axis}axis")
        if percent:
            percent_axis(own)
        own.set_label_text(without_surrogates(f"{text}, %" if percent else text), parse_math=False)

    def svg(self, name: str) -> str:
        """The figure as a self-contained `<svg>` element; `name` makes its ids unique."""
        import matplotlib

        buffer = io.StringIO()
        silent = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a character that matplotlib's font lacks, the browser's has
            self.figure.savefig(buffer, format="svg", transparent=True, metadata=silent)
        svg = buffer.getvalue()
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        root = f'<svg class="plot" font-family="{FAMILY}" font-size="{LABEL:g}"'  # of almost all texts
        return prefix_ids(_in_page_colours(shortened(svg)), name).replace("<svg", root, 1)


def _in_page_colours(svg: str) -> str:
    """Replaces colours by CSS variables of the page, with the light colours outside of one."""
    for colour, name in _NAMES.items():
        svg = svg.replace(colour, f"var(--{name}, {LIGHT[name]})" if name in LIGHT else name)
    return svg


def shortened(svg: str) -> str:
    """The figure without what nothing shows or refers to: indents, most ids, groups without attributes, white space in paths,
    digits below a hundredth of a point."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def tag(found: re.Match[str]) -> str:
        text = re.sub(r' id="([^"]*)"', lambda id: id[0] if id[1] in used else "", found[0])
        text = re.sub(r"(\.\d\d)\d+", r"\1", text)
        text = re.sub(rf' transform="rotate\(-?0 [^"]*"|font-size: {LABEL:g}px; font-family: {FAMILY}; ', "", text)
        text = re.sub(r'(?<= style=")[^"]*', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), text)
        return re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"\s*([A-Za-z]|$)\s*", r"\1", path[0]), text)

    return re.sub(r"\n\s*", "\n", _without_plain_groups(re.sub(r"<[^>]*>", tag, svg)))


def _without_plain_groups(svg: str) -> str:
    """Removes `<g>` and the `</g>` that closes it, and what is empty."""
    named: list[bool] = []  # whether each open group has attributes

    def kept(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return tag[0] if named.pop() else ""
        if not tag[0].endswith("/>"):
            named.append(tag[0] != "<g>")
            return tag[0] if named[-1] else ""
        return tag[0] if tag[0] != "<g/>" else ""

    return re.sub(r"</?g\b[^>]*>", kept, svg)


def prefix_ids(svg: str, name: str) -> str:
    """The figure with `name` in front of its ids, since several are on one page."""
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag[0]), svg)


def apart(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Ascending positions at least `gap` apart and near the wanted ones, within [low, high] if they fit."""
    positions = [max(value, low) for value in wanted]
    for index in range(1, len(positions)):
        positions[index] = max(positions[index], positions[index - 1] + gap)
    limit = high
    for index in reversed(range(len(positions))):
        positions[index] = min(positions[index], limit)
        limit = positions[index] - gap
    return positions


def log_x(canvas: Canvas, unit: Any = number_format.count) -> None:
    """A logarithmic x axis with ticks formatted by `unit`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = canvas.axes.xaxis
    canvas.axes.set_xscale("log")
    low, high = canvas.axes.get_xlim()
    ratio = high / low
    subs: tuple[float, ...] = (1.0,) if ratio > 300 else (1.0, 3.0) if ratio > 8 else (1.0, 2.0, 5.0)
    if ratio < NARROW:  # too narrow for logarithmic ticks
        axis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(10, subs=subs, numticks=12))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: strip_zeros(unit(value))))


def strip_zeros(text: str) -> str:
    """`100 k` instead of `100.00 k`."""
    return re.sub(r"\.0+(?= |$)|(\.\d*?[1-9])0+(?= |$)", r"\1", text)


def log_y(canvas: Canvas) -> None:
    """A logarithmic y axis with ticks as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = canvas.axes.yaxis
    canvas.axes.set_yscale("log")
    low, high = canvas.axes.get_ylim()
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 100 else (1.0, 3.0), numticks=6))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def percent_axis(axis: Any) -> None:
    """Formats ticks of fractions as percentages."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}".replace("-", "−")))


def without_surrogates(text: str) -> str:
    """Text without lone surrogates, which JSON may hold."""
    return text.encode(errors="replace").decode()


def cut(text: str, length: int) -> str:
    """Text in one line, cut to `length` columns, the last an ellipsis. Characters of East Asian scripts and emoji take two."""
    text = " ".join(text.split())
    if sum(map(_columns, text)) <= length:
        return text
    left, kept = length - 1, ""
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        kept += character
    return f"{kept}…"


def _columns(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def widest(texts: Iterable[str]) -> float:
    """Points that the widest of some labels takes in a wide usual font; no more than 0.6 of a figure."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font, found = FontProperties(family="DejaVu Sans", size=LABEL), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as in `svg`
        for text in map(without_surrogates, texts):
            narrow = "".join(character for character in text if _columns(character) == 1)
            width = float(text_to_path.get_text_width_height_descent(narrow, font, False)[0])
            found = max(found, width + (LABEL + 1) * (len(text) - len(narrow)))
    return min(found, 0.6 * WIDTH)
