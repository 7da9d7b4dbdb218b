"""Checks of terms and teacher before training."""

from __future__ import annotations

from torch import nn

from limbeck.core.schedules import Constant
from limbeck.core.terms import Term
from limbeck.integrations.teacher_checks import require_one_precision, require_own_weights, tokenizer_difference

SCORES = "scores"


def require_outputs(term: Term) -> None:
    """Refuse a term with taps inside the models, or with a schedule.

    Raises:
        ValueError: with the term.
    """
    name = term.name or term.objective.name
    known = ("student", "teacher", SCORES, f"student:{SCORES}", f"teacher:{SCORES}", None)
    for side in (term.student, term.teacher):
        if isinstance(side, str | None) and side not in known:
            raise ValueError(
                f"term {name!r}: it taps {side!r}; a loss of Sentence Transformers compares embeddings, or {SCORES!r}. For "
                "layers inside, use limbeck.Criterion in a loop of your own"
            )
    for what, value in (("weight", term.weight), ("temperature", term.temperature)):
        if value is not None and not isinstance(value, Constant):
            raise ValueError(f"term {name!r}: its {what} is a schedule, and a loss does not know the progress; use a number")


def require_readable(student: nn.Module, teacher: nn.Module) -> None:
    """Refuse a teacher that shares weights with the student, is in several precisions, or has another vocabulary.

    Raises:
        ValueError: with what to do instead.
    """
    require_own_weights(student, teacher)
    require_one_precision(teacher)
    _, difference = tokenizer_difference(getattr(student, "tokenizer", None), getattr(teacher, "tokenizer", None))
    if difference is not None:
        raise ValueError(
            f"teacher: its tokenizer has another vocabulary than the student's ({difference}), so it cannot read the student's "
            "ids; embed the texts beforehand, as the data set's label"
        )
