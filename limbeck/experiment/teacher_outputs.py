"""The teacher outputs that the terms of an experiment read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS
from limbeck.core.references import Reference
from limbeck.core.taps.attention_modules import MATRICES
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term


@dataclass(frozen=True)
class TeacherOutputs:
    """What a cache of the teacher has to hold.

    Attributes:
        taps: where the terms read the teacher.
        top_k: whether the largest logits are enough for all terms that read the logits.
    """

    taps: frozenset[str] = frozenset()
    top_k: bool = True

    @classmethod
    def read_by(cls, criteria: Iterable[Criterion]) -> TeacherOutputs:
        """Collects the outputs that the terms of these criteria read.

        A cache holds no matrices of token pairs. A stage that reads some runs the teacher anyway, so its taps are left out,
        unless there are no others: then the cache has to refuse them.
        """
        taps: set[str] = set()
        uncached: set[str] = set()
        top_k = True
        for criterion in criteria:
            by_term = [_taps(term.teachers) | _taps(_read_by_weighers(term)) for term in criterion.terms]
            if any(Tap.parse(tap).of in MATRICES for read in by_term for tap in read):
                uncached |= set().union(*by_term)
                continue
            for term, read in zip(criterion.terms, by_term, strict=True):
                taps |= read
                top_k &= LOGITS not in read or _accepts_top_k(term)
        return cls(frozenset(taps or uncached), top_k)


def _taps(references: Iterable[Reference]) -> set[str]:
    """Where these references read the teacher."""
    return {reference.tap for reference in references if reference.actor == "teacher"}


def _read_by_weighers(term: Term) -> list[Reference]:
    return [reference for references in term.further.values() for reference in references]


def _accepts_top_k(term: Term) -> bool:
    """Whether the largest logits are enough: weighers and teachers that combine signals need all of them."""
    return term.objective.accepts_top_k and not term.weighers and not isinstance(term.teacher, Teacher)
