"""Distilling the knowledge in a neural network (Hinton, Vinyals, Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.objectives import HardTargets, SoftTargets


def hinton(temperature: float = 4.0, alpha: float = 0.9) -> list[Term]:
    """Returns the terms of (1 − α)·CE(labels) + α·T²·KL(teacher ‖ student), at temperature T.

    Items without a label take part in the second term only.

    Args:
        temperature: T; 4 is usual for small images.
        alpha: weight of the teacher, above 0 and at most 1. With 1 the labels are not used.

    Raises:
        ValueError: `alpha` is out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"hinton: alpha is {alpha}; expected a number above 0 and at most 1")
    labels = [Term(HardTargets(), weight=1 - alpha)] if alpha < 1 else []
    return [*labels, Term(SoftTargets(temperature=temperature), weight=alpha)]
