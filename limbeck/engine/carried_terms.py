"""What the terms of a stage have learned is where the terms of the same name in the next stage start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.engine.binding import BoundUpdate, signals_of
from limbeck.engine.stages import Reinitialise, Stage

PARTS = ("adapters", "objectives", "teachers", "weighers")  # of a criterion that may have state, one entry for each term


@dataclass(frozen=True)
class LearnedTerm:
    """A term of the stage before, with its state.

    Attributes:
        name: in the log.
        signals: that it compared, as text.
        objective: name of its objective.
        trains: the actors that its update trained.
        source: where its batches came from.
        parts: tensors by name, of each of `PARTS`.
    """

    name: str
    signals: str
    objective: str
    trains: tuple[str, ...]
    source: Source | None
    parts: Mapping[str, Mapping[str, Tensor]]


def carry_terms(
    updates: Sequence[BoundUpdate], states: Sequence[Mapping[str, Any]], stages: Sequence[Stage], source: Source | None
) -> dict[str, str]:
    """Loads what terms of the stage before have learned into terms of the same name that train the same actors.

    Adapters, objectives (projection heads, banks), teachers (tables) and weighers are taken over as a whole. Terms that were
    numbered because several have one name are told apart by their signals. A term starts anew if its student gets new weights
    at the border of the stages, or if it differs from the one before in its objective, in a shape, or in the data that its
    rows are of.

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
    for exact in (True, False):  # first by signals, so that no other term takes what one has learned on its own
        for number, (one, _, term) in enumerate(targets):
            fits = (old for old in free if old.trains == tuple(one.update.trains) and _same_term(old, term, exact=exact))
            if number not in pairs and (found := next(fits, None)) is not None:
                pairs[number] = found
                free.remove(found)
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


def _same_term(old: LearnedTerm, term: Term, *, exact: bool) -> bool:
    """Whether a term of the stage before is this one: by signals and name without its number, or by name alone."""
    if exact:
        return _unnumbered(old.name) == _unnumbered(term.name) and old.signals == signals_of(term)
    return old.name == term.name


def _unnumbered(name: str) -> str:
    return re.sub(r"\.\d+$", "", name)


def _difference(old: LearnedTerm, term: Term, new: Mapping[str, nn.Module], source: Source) -> str | None:
    """What keeps a term from taking over the state of the one before; None: nothing, or neither has a state."""
    if not any(old.parts.values()) and not any(module.state_dict() for module in new.values()):
        return None
    if old.objective != term.objective.name:
        return f"its objective is {term.objective.name}, and was {old.objective}"
    for kind, module in new.items():
        before, now = ({name: tuple(t.shape) for name, t in part.items()} for part in (old.parts[kind], module.state_dict()))
        if before != now:
            name = next(name for name in (*now, *before) if now.get(name) != before.get(name))
            return f"{kind[:-1]} {name} has shape {now.get(name, 'none')}, and had {before.get(name, 'none')}"
        if source is not old.source and any(shape[:1] == (source.samples,) for shape in now.values()):
            return f"{kind[:-1]} has a row for each item, and the items are others"
    return None
