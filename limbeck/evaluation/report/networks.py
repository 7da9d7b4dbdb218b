"""Student and teacher side by side, with a line for each term between the modules that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise, product

from limbeck.core.model_io import LOGITS
from limbeck.core.taps.tap import Tap
from limbeck.evaluation.arms import STUDENT, TEACHER
from limbeck.evaluation.network import Network
from limbeck.evaluation.report.canvas import apart, cut
from limbeck.evaluation.report.page import Section, details, figure, table
from limbeck.evaluation.term_graph import TermEdge, TermGraph
from limbeck.evaluation.verdict import Verdict
from limbeck.tasks import task_type

WIDTH, BOX, ROW, TOP = 340, 102, 40, 28
_HEIGHT, LABEL = 30, 31  # height of a box; distance between the names of two terms


def networks(verdict: Verdict) -> Section | None:
    """The diagram and the table of terms; None if the verdict has no term graph."""
    if verdict.term_graph is None:
        return None
    term_graph = _output_renamed(verdict.term_graph, task_type(verdict.task).output_name)
    drawn = (
        ""
        if term_graph.teacher is None
        else figure(
            "term-graph", "What each term compares", draw(term_graph), _caption(term_graph), _modules(term_graph), wide=True
        )
    )
    terms = _terms(term_graph)
    return Section(
        "networks",
        "Taps and adapters",
        drawn,
        terms,
        "" if drawn else details("Modules", _modules(term_graph)),
    )


def _output_renamed(term_graph: TermGraph, output: str) -> TermGraph:
    """The graph with another name for the output of the models, if they are no logits."""
    if output == LOGITS:
        return term_graph

    def named(taps: Sequence[str]) -> list[str]:
        return [output if tap == LOGITS else tap for tap in taps]

    def of(network: Network) -> Network:
        modules = [module.model_copy(update={"path": named([module.path])[0]}) for module in network.modules]
        return network.model_copy(update={"modules": modules})

    edges = [
        edge.model_copy(update={"student": named(edge.student), "teacher": named(edge.teacher)}) for edge in term_graph.edges
    ]
    student, teacher = of(term_graph.student), term_graph.teacher and of(term_graph.teacher)
    return term_graph.model_copy(update={"student": student, "teacher": teacher, "edges": edges})


def _caption(term_graph: TermGraph) -> str:
    assert term_graph.teacher is not None
    student, teacher = term_graph.student.model, term_graph.teacher.model
    terms = [_sentence(edge) for edge in term_graph.edges]
    left, right = term_graph.names
    if left == STUDENT:
        sides = f"The student {student} on the left, its teacher {teacher} on the right."
    else:
        sides = f"{left} ({student}) on the left, {right} ({teacher}) on the right."
    text = f"{sides} {' '.join(terms[:8])}"
    return text + (f" {len(terms) - 8} more terms are in the table." if len(terms) > 8 else "")


def _sentence(edge: TermEdge) -> str:
    if not edge.teacher:
        return f"{edge.name} reads {', '.join(edge.student)} and the labels."
    through = f" through {edge.adapter}" if edge.adapter else ""
    return f"{edge.name} compares {', '.join(edge.student)}{through} with {', '.join(edge.teacher)}."


def _terms(term_graph: TermGraph) -> str:
    edges, (left, right) = term_graph.edges, term_graph.names
    staged = any(edge.stage for edge in edges)
    titles = ["term", *(["stage"] if staged else []), "objective", "student", "teacher", "adapter", "weight"]
    rows = [
        [
            escape(part)
            for part in (
                edge.name,
                *([edge.stage] if staged else []),
                edge.objective,
                ", ".join(edge.student),
                ", ".join(edge.teacher) or "labels",
                edge.adapter or "none",
                edge.weight,
            )
        ]
        for edge in edges
    ]
    others = "" if left == STUDENT else f"; taps are those of {left} and {right} unless another actor is named"
    return table(f"The terms of the loss{others}", titles, rows, text=len(titles) - 2)


def _modules(term_graph: TermGraph) -> str:
    left, right = map(escape, term_graph.names)
    rows = [
        (f"{side} · {escape(module.path)}", escape(module.kind), _shape(module.shape))
        for side, network in ((left, term_graph.student), (right, term_graph.teacher))
        for module in (network.modules if network else [])
    ]
    return table("Modules of both networks in order, with the shapes of their outputs", ["module", "class", "output"], rows)


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "–"


def draw(term_graph: TermGraph) -> str:
    """Boxes from input to output, downwards; tapped modules have a heavy frame."""
    student, teacher = term_graph.student, term_graph.teacher
    assert teacher is not None
    deep = max(len(student.modules), len(teacher.modules))
    ours, theirs = _heights(student, deep), _heights(teacher, deep)
    reach = [_by_tap(network, heights) for network, heights in ((student, ours), (teacher, theirs))]
    labels = _labels(term_graph.edges, *reach)
    left, right = term_graph.names
    marks = [
        *_column(student, 0, ours, {tap for edge in term_graph.edges for tap in edge.student}, STUDENT, left),
        *_column(teacher, WIDTH - BOX, theirs, {tap for edge in term_graph.edges for tap in edge.teacher}, TEACHER, right),
        *_edges(labels, *reach),
    ]
    height = max(TOP + deep * ROW + 4, labels[-1][0] + 20 if labels else 0)
    body = "\n".join(marks)
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" font-size="11" fill="currentColor">{body}</svg>'


def _heights(network: Network, deep: int) -> dict[str, float]:
    """The middle of each module's box; both networks are spread over the same height."""
    count = len(network.modules)
    step = (deep - 1) / (count - 1) if count > 1 else 0
    return {module.path: TOP + ROW * step * index + _HEIGHT / 2 for index, module in enumerate(network.modules)}


def _by_tap(network: Network, heights: dict[str, float]) -> dict[str, float]:
    """The heights of modules, also by the names of taps that read them."""
    return heights | {tap: heights[path] for tap, path in network.tap_modules.items() if path in heights}


def _column(network: Network, x: float, heights: dict[str, float], taps: set[str], arm: str, name: str) -> list[str]:
    tapped = {network.module_of(tap) for tap in taps}
    middle = x + BOX / 2
    head = f"{name}: {network.model}" + (f" (+{network.omitted})" if network.omitted else "")
    anchor, edge = ("start", x) if x == 0 else ("end", x + BOX)
    marks = [_text(edge, 12, head, 23, weight=650, colour=f"var(--{arm})", anchor=anchor)]
    for above, below in pairwise(heights.values()):
        marks.append(_line(f"M{middle:g} {above + _HEIGHT / 2:g} V{below - _HEIGHT / 2:g}", opacity=0.35))
    for module in network.modules:
        y, heavy = heights[module.path], module.path in tapped
        look = (
            f"fill: var(--card); stroke: var(--{arm}); stroke-width: 2" if heavy else "fill: var(--card); stroke: var(--line)"
        )
        marks.append(_box(x + 1, y - _HEIGHT / 2, BOX - 2, _HEIGHT, look))
        marks.append(_text(middle, y - 2.5, _tail(module.path, 13 if heavy else 15), 16, weight=600 if heavy else 400))
        marks.append(_text(middle, y + 10, _shape(module.shape), 17, colour="var(--soft)"))
    return marks


def _tail(path: str, length: int) -> str:
    """The end of a path, in which modules of one model differ."""
    return path if len(path) <= length else "…" + path[1 - length :]


def _pairs(edge: TermEdge, ours: dict[str, float], theirs: dict[str, float]) -> list[tuple[float, float]]:
    """The heights that a term connects, without references to other actors, which are in no column."""
    taps = (
        zip(edge.student, edge.teacher, strict=True)
        if len(edge.student) == len(edge.teacher)
        else product(edge.student, edge.teacher)
    )
    found = [(_height(ours, one), _height(theirs, other)) for one, other in taps]
    return [(start, end) for start, end in found if start is not None and end is not None]


def _height(heights: dict[str, float], tap: str) -> float | None:
    return heights.get(tap, heights.get(Tap.parse(tap).path))


def _labels(edges: Sequence[TermEdge], ours: dict[str, float], theirs: dict[str, float]) -> list[tuple[float, TermEdge]]:
    """The terms that connect the two columns, with the heights of their names, moved apart where they would overlap."""
    found = []
    for edge in edges:
        middles = [(start + end) / 2 for start, end in _pairs(edge, ours, theirs)]
        if middles:
            found.append((sum(middles) / len(middles), edge))
    found.sort(key=lambda one: one[0])
    first = TOP + _HEIGHT / 2
    last = max(*ours.values(), *theirs.values(), first + LABEL * (len(found) - 1))
    return list(zip(apart([middle for middle, _ in found], LABEL, first, last), (edge for _, edge in found), strict=True))


def _edges(labels: Sequence[tuple[float, TermEdge]], ours: dict[str, float], theirs: dict[str, float]) -> list[str]:
    """A line for each pair of taps through the name of its term, with its adapter or weight below."""
    lines, words = [], []
    for y, edge in labels:
        for start, end in _pairs(edge, ours, theirs):
            left, right = BOX, WIDTH - BOX
            there = f"M{left} {start:g} C{left + 16} {start:g} {left + 4} {y:g} {left + 24} {y:g}"
            back = f"H{right - 24} C{right - 4} {y:g} {right - 16} {end:g} {right} {end:g}"
            lines.append(_line(f"{there} {back}"))
        name = edge.name.removesuffix(f".{edge.student[0]}")
        words.append(_text(WIDTH / 2, y - 4.5, name, 20, weight=650, halo=True))
        words.append(_text(WIDTH / 2, y + 12, edge.adapter or f"× {edge.weight}", 24, colour="var(--soft)", halo=True))
    return lines + words


def _box(x: float, y: float, wide: float, tall: float, look: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{tall:g}" rx="5" style="{look}"/>'


def _line(path: str, opacity: float = 1.0) -> str:
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.2" stroke-opacity="{opacity:g}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    length: int,
    *,
    weight: int = 400,
    colour: str = "currentColor",
    anchor: str = "middle",
    halo: bool = False,
) -> str:
    """Text cut to `length` characters, centred by default; `halo`: on a background that separates it from lines."""
    look = f"fill: {colour}; font-weight: {weight}"
    look += "; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; paint-order: stroke" if halo else ""
    look += "; font-size: 9.5px" if halo and weight == 400 else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="{look}">{escape(cut(text, length))}</text>'
