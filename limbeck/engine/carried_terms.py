"""What the terms of a stage have learned is where the terms of the same name in the next stage start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.engine.binding import BoundUpdate, students_of, teachers_of
from limbeck.engine.stages import Reinitialise, Stage

PARTS = ("adapters", "objectives", "teachers", "weighers")  # of a criterion that may have state, one entry for each term


@dataclass(frozen=True)
class LearnedTerm:
    """A term of the stage before, with its state.

    Attributes:
        name: in the log.
        students, teachers: the signals that it compared, as text.
        objective: name of its objective.
        trains: the actors that its update trained.
        source: where its batches came from.
        parts: tensors by name, of each of `PARTS`.
    """

    name: str
    students: str
    teachers: str
    objective: str
    trains: tuple[str, ...]
    source: Source | None
    parts: Mapping[str, Mapping[str, Tensor]]


def carry_terms(
    updates: Sequence[BoundUpdate], states: Sequence[Mapping[str, Any]], stages: Sequence[Stage], source: Source | None
) -> dict[str, str]:
    """Loads what terms of the stage before have learned into terms of the same name, for the same signal of the student.

    Adapters, objectives (projection heads, banks), teachers (tables) and weighers are taken over as a whole. Terms that have a
    number because several share a name are told apart by their signals. A term starts anew if its student gets new weights at
    the border of the stages, if its update trains other actors, or if it differs from the one before in its student's signal,
    its objective, a shape, or the items that its rows are of.

    Args:
        updates: of the stage that begins; their criteria are changed.
        states: of the updates of the stage before, by `BoundUpdate.state_dict`; checkpoints of older versions name no terms.
        stages: up to the one that begins.
        source: of the updates that name none.

    Returns:
        Why a term was built anew though the stage before has one of its name, by the name of the term.
    """
    if len(stages) < 2 or not states:
        return {}
    renewed = {e.actor for e in (*stages[-2].on_exit, *stages[-1].on_enter) if isinstance(e, Reinitialise)}
    targets = [
        (one, position, term)
        for one in updates
        for position, term in enumerate(one.criterion.terms)
        if not renewed & {reference.actor for reference in term.students}
    ]
    free = list(_learned_terms(states, stages[-2], source))
    anew: dict[str, str] = {}
    pairs: dict[int, LearnedTerm] = {}
    for fits in (_same_signals, _same_students, _same_name):  # best first, so that no term takes what another has learned
        for number, (one, _, term) in enumerate(targets):
            old = next((old for old in free if old.trains == tuple(one.update.trains) and fits(old, term)), None)
            if number not in pairs and old is not None:
                pairs[number] = old
                free.remove(old)
    for number, old in pairs.items():
        one, position, term = targets[number]
        new = {kind: getattr(one.criterion, kind)[position] for kind in PARTS}
        difference = _difference(old, term, new, one.source)
        if difference is None:
            for kind, module in new.items():
                module.load_state_dict(old.parts[kind])
        else:
            anew[term.name] = difference
    return anew


def _learned_terms(states: Sequence[Mapping[str, Any]], stage: Stage, source: Source | None) -> Iterator[LearnedTerm]:
    for update, state in zip(stage.updates, states, strict=True):
        for position, described in enumerate(state.get("terms", ())):
            parts = {kind: _below(state["criterion"], f"{kind}.{position}.") for kind in PARTS}
            yield LearnedTerm(**described, trains=tuple(update.trains), source=update.source or source, parts=parts)


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _same_name(old: LearnedTerm, term: Term) -> bool:
    return old.name == term.name


def _same_students(old: LearnedTerm, term: Term) -> bool:
    return _unnumbered(old.name) == _unnumbered(term.name) and old.students == students_of(term)


def _same_signals(old: LearnedTerm, term: Term) -> bool:
    return _same_students(old, term) and old.teachers == teachers_of(term)


def _unnumbered(name: str) -> str:
    return re.sub(r"\.\d+$", "", name)


def _difference(old: LearnedTerm, term: Term, new: Mapping[str, nn.Module], source: Source) -> str | None:
    """What keeps a term from taking over the state of the one before; None: nothing, or neither has a state."""
    if not any(old.parts.values()) and not any(module.state_dict() for module in new.values()):
        return None
    if old.students != students_of(term):
        return f"its student side is {students_of(term)}, and was {old.students}"
    if old.objective != term.objective.name:
        return f"its objective is {term.objective.name}, and was {old.objective}"
    for kind, module in new.items():
        before, now = ({name: tuple(t.shape) for name, t in part.items()} for part in (old.parts[kind], module.state_dict()))
        if before != now:
            name = next(name for name in (*now, *before) if now.get(name) != before.get(name))
            return f"{kind[:-1]} {name} has shape {now.get(name, 'none')}, and had {before.get(name, 'none')}"
        if kind != "adapters" and source is not old.source and any(shape[:1] == (source.samples,) for shape in now.values()):
            return f"{kind[:-1]} has a row for each item, and the items are others"
    return None
