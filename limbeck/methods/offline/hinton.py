"""Distilling the knowledge in a neural network (Hinton, Vinyals, Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from dataclasses import replace

from limbeck.core.terms import Term
from limbeck.methods.registration import registry
from limbeck.objectives import SoftTargets
from limbeck.tasks import Classification, Task


@registry.register("hinton", cite=SoftTargets.bibtex)
def hinton(temperature: float = 4.0, alpha: float = 0.9, task: Task | None = None) -> list[Term]:
    """Returns the terms of (1 − α)·CE(labels) + α·T²·KL(teacher ‖ student), at temperature T.

    Items without a label take part in the second term only.

    Args:
        temperature: T; 4 is usual for small images.
        alpha: weight of the teacher, above 0 and at most 1. With 1 the labels are not used.
        task: its losses are used; None: classification.

    Raises:
        ValueError: `alpha` is out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"hinton: alpha is {alpha}; expected a number above 0 and at most 1")
    task = task or Classification()
    labels = [replace(term, weight=1 - alpha) for term in task.hard_terms()] if alpha < 1 else []
    return [*labels, *(replace(term, weight=alpha) for term in task.soft_terms(temperature))]
