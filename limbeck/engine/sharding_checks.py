"""Refuses what does not work with sharded weights, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limbeck.core.actors import Actors
from limbeck.core.balance import GradientNorm
from limbeck.core.balance import balance as as_balance
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.core.weighers import HeadConfidence
from limbeck.engine.settings import Settings
from limbeck.engine.stages import Reinitialise, Stage


def check_sharding(actors: Actors, stages: Sequence[Stage], source: Source | None, settings: Settings) -> None:
    """Checks that a training can run with `Settings.shard`; does nothing without it.

    Args:
        source: of the updates that name none.

    Raises:
        ValueError: a part reads weights outside of the model that holds them, or runs a model in one process alone; the message
            names it with a remedy.
    """
    if not settings.shard:
        return
    found = next(_obstacles(actors, stages, source), None)
    if found is not None:
        raise ValueError(f"shard: true does not work with {found}, or set shard: false")


def _obstacles(actors: Actors, stages: Sequence[Stage], source: Source | None) -> Iterator[str]:
    """What stands in the way, each with a remedy."""
    for stage in stages:
        for event in (*stage.on_enter, *stage.on_exit):
            if isinstance(event, Reinitialise) and actors[event.actor].factory is None:
                yield f"new weights for {event.actor!r}, which is a module; hand over a function that builds it"
        for update in stage.updates:
            drawn = update.source or source
            runs = set() if drawn is None else set(drawn.actors) - {drawn.generator}
            if runs:
                yield (
                    f"the source {type(drawn).__name__}, which runs {', '.join(sorted(runs))} to make batches, as often as "
                    "each process needs it; draw from a data set"
                )
            if update.balance is not None and isinstance(as_balance(update.balance), GradientNorm):
                yield "balance: gradient_norm, which differentiates each term by the weights; choose uncertainty"
            for term in update.terms:
                yield from _obstacles_of(term)


def _obstacles_of(term: Term) -> Iterator[str]:
    name = term.name or term.objective.name
    for text in references_of(term):
        if "@" in text:
            yield f"the variant that term {name!r} reads ({text}), which may use slices of weights; read whole models"
    if any(isinstance(weigher, HeadConfidence) for weigher in term.weighers.values()):
        yield f"head_confidence of term {name!r}, which reads the weights of a head; choose another weigher"


def references_of(term: Term) -> Iterator[str]:
    """The references of a term as text."""
    given: list[Any] = [term.student, getattr(term.teacher, "references", term.teacher)]
    given += [weigher.references for weigher in term.weighers.values()]
    for texts in given:
        yield from (texts,) if isinstance(texts, str) else texts or ()
