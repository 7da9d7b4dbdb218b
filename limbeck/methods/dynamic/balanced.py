"""Labels and teacher in a proportion that is found during the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.core.balance import registry as balances
from limbeck.core.terms import Term
from limbeck.engine import Length, Stage, Update
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import Hint
from limbeck.tasks import Task


@registry.register("balanced", cite=balances.citation("gradient_norm"))
def balanced(
    *,
    length: Length,
    task: Task | None = None,
    by: str | Mapping[str, Any] = "gradient_norm",
    temperature: float = 4.0,
    layer: str | None = None,
) -> DistillationArguments:
    """Returns a stage on CE(labels), T²·KL(teacher ‖ student) and, with a layer, a hint, whose weights are balanced.

    `gradient_norm`: every term's gradient has the same norm (after GradNorm, arXiv 1711.02257). `uncertainty`: trained weights
    exp(−s_k) (Kendall et al., arXiv 1705.07115). Neither knows which term is worth learning.

    Args:
        length: of the training.
        by: a balance of `limbeck.core.balance`, by name or in recipe form.
        temperature: T.
        layer: tap of student and teacher for the hint; None: no hint.

    Raises:
        ValueError: an unknown balance, or arguments that it refuses.
    """
    terms = [*label_terms(task, 1.0), *soft_terms(task, temperature, 1.0)]
    if layer is not None:
        terms.append(Term(Hint(), f"student:{layer}", f"teacher:{layer}"))
    return {"stages": [Stage([Update(terms, balance=by)], length)]}
