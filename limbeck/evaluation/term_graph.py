"""The terms of a run as a graph: the modules of student and teacher, and the taps, adapter and weight of each term."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.references import Reference
from limbeck.evaluation.arms import STUDENT, TEACHER
from limbeck.evaluation.network import Network, build_network
from limbeck.evaluation.record import Record
from limbeck.evaluation.term_text import describe_adapter, describe_weight


class TermEdge(Record):
    """One term with its taps in student and teacher; references to other actors are written in full.

    `distils`: whether it reads a teacher of any kind, or a weigher; a term on labels alone does not.
    """

    stage: str
    name: str
    objective: str
    student: list[str]
    teacher: list[str]
    adapter: str | None
    weight: str
    distils: bool = True


class TermGraph(Record):
    """Student, teacher and the terms between them.

    `names`: the actors that are drawn as student and as teacher.
    """

    student: Network
    teacher: Network | None
    edges: list[TermEdge]
    names: tuple[str, str] = (STUDENT, TEACHER)


def build_term_graph(
    criteria: Sequence[tuple[str, Criterion]], example: Batch, student: str | None = None, teacher: str | None = None
) -> TermGraph:
    """The term graph of a run.

    Args:
        criteria: the built criterion of each stage, with the name of the stage ("" if there is only one).
        example: a batch for a forward pass that reads the shapes.
        student, teacher: the actors whose modules are shown; None: those of these names, or else those of the first term.
    """
    actors, found = criteria[0][1].actors, _names(criteria)
    names = student or found[0], teacher or found[1]
    edges = [edge for stage, criterion in criteria for edge in _edges(stage, criterion, names)]
    taps = {tap for edge in edges for tap in edge.student}, {tap for edge in edges for tap in edge.teacher}
    ours, theirs = (
        build_network(actors[name], name, own, example) if name in actors and actors[name].module is not None else None
        for name, own in zip(names, taps, strict=True)
    )
    if ours is None:
        raise ValueError(f"no term compares a model with modules; the actors are {', '.join(actors)}")
    return TermGraph(student=ours, teacher=theirs, edges=edges, names=names)


def _names(criteria: Sequence[tuple[str, Criterion]]) -> tuple[str, str]:
    """The actors to draw: student and teacher, or those of the first term."""
    actors = criteria[0][1].actors
    if STUDENT in actors:
        return STUDENT, TEACHER
    terms = [term for _, criterion in criteria for term in criterion.terms]
    learners = [reference.actor for term in terms for reference in term.students if actors[reference.actor].module is not None]
    first = next(iter(learners), STUDENT)
    others = [reference.actor for term in terms for reference in term.teachers if reference.actor != first]
    return first, TEACHER if TEACHER in actors else next(iter(others), TEACHER)


def _edges(stage: str, criterion: Criterion, names: tuple[str, str]) -> Iterable[TermEdge]:
    for term, adapter in zip(criterion.terms, criterion.adapters, strict=True):
        yield TermEdge(
            stage=stage,
            name=term.name,
            objective=term.objective.name,
            student=[_tap(reference, names[0]) for reference in term.students],
            teacher=[_tap(reference, names[1]) for reference in term.teachers],
            adapter=describe_adapter(adapter) or None,
            weight=describe_weight(term.weight),
            distils=term.teacher is not None or term.objective.needs_teacher or bool(term.weighers),
        )


def _tap(reference: Reference, side: str) -> str:
    plain = reference.actor == side and reference.variant is None and reference.view == DEFAULT_VIEW
    return reference.tap if plain else str(reference)
