"""The terms of a run as a graph: the modules of student and teacher, and the taps, adapter and weight of each term."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.references import Reference
from limbeck.evaluation.network import Network, build_network
from limbeck.evaluation.record import Record
from limbeck.evaluation.term_text import describe_adapter, describe_weight


class TermEdge(Record):
    """One term with its taps in student and teacher; references to other actors are written in full."""

    stage: str
    name: str
    objective: str
    student: list[str]
    teacher: list[str]
    adapter: str | None
    weight: str


class TermGraph(Record):
    """Student, teacher and the terms between them."""

    student: Network
    teacher: Network | None
    edges: list[TermEdge]


def build_term_graph(criteria: Sequence[tuple[str, Criterion]], example: Batch) -> TermGraph:
    """The term graph of a run.

    Args:
        criteria: the built criterion of each stage, with the name of the stage ("" if there is only one).
        example: a batch for a forward pass that reads the shapes.
    """
    edges = [edge for stage, criterion in criteria for edge in _edges(stage, criterion)]
    actors = criteria[0][1].actors
    networks = {
        side: build_network(actors[side], side, {tap for edge in edges for tap in getattr(edge, side)}, example)
        for side in ("student", "teacher")
        if side in actors and actors[side].module is not None
    }
    return TermGraph(student=networks["student"], teacher=networks.get("teacher"), edges=edges)


def _edges(stage: str, criterion: Criterion) -> Iterable[TermEdge]:
    for term, adapter in zip(criterion.terms, criterion.adapters, strict=True):
        yield TermEdge(
            stage=stage,
            name=term.name,
            objective=term.objective.name,
            student=[_tap(reference, "student") for reference in term.students],
            teacher=[_tap(reference, "teacher") for reference in term.teachers],
            adapter=describe_adapter(adapter) or None,
            weight=describe_weight(term.weight),
        )


def _tap(reference: Reference, side: str) -> str:
    plain = reference.actor == side and reference.variant is None and reference.view == DEFAULT_VIEW
    return reference.tap if plain else str(reference)
