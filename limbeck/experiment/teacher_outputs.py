"""The outputs of frozen actors that the terms of an experiment read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS
from limbeck.core.references import Reference
from limbeck.core.schedules import Constant
from limbeck.core.taps.attention_modules import MATRICES
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term


@dataclass(frozen=True)
class TeacherOutputs:
    """What the cache of a frozen actor has to hold.

    Attributes:
        taps: where the terms read it.
        top_k: whether the largest logits are enough for all terms that read the logits.
    """

    taps: frozenset[str] = frozenset()
    top_k: bool = True

    @classmethod
    def read_by(cls, criteria: Iterable[Criterion], actor: str = "teacher") -> TeacherOutputs:
        """Collects the outputs of an actor that the terms of these criteria read.

        A cache holds no matrices of token pairs. A stage that reads some runs the teacher anyway, so its taps are left out,
        unless there are no others: then the cache has to refuse them.
        """
        taps: set[str] = set()
        uncached: set[str] = set()
        top_k = True
        for criterion in criteria:
            by_term = [_taps(term.references, actor) for term in criterion.terms]
            if any(Tap.parse(tap).of in MATRICES for read in by_term for tap in read):
                uncached |= set().union(*by_term)
                continue
            for term, read in zip(criterion.terms, by_term, strict=True):
                taps |= read
                top_k &= LOGITS not in read or _accepts_top_k(term)
        return cls(frozenset(taps or uncached), top_k)


def _taps(references: Iterable[Reference], actor: str) -> set[str]:
    """Where these references read the actor."""
    return {reference.tap for reference in references if reference.actor == actor}


def _accepts_top_k(term: Term) -> bool:
    """Whether the largest logits are enough: weighers, teachers that combine signals and temperatures other than 1 need all."""
    if term.weighers or isinstance(term.teacher, Teacher) or not isinstance(term.temperature, Constant | None):
        return False
    return term.objective.reads_top_k(None if term.temperature is None else term.temperature.value)
