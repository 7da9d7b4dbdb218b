"""A small teacher for items that the student is unsure of, a large one for the others (Li et al. 2021, arXiv 2109.11295)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.core.teachers import Ensemble
from limbeck.core.weighers import ByUncertainty
from limbeck.core.weighers import registry as weighers
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("teachers_by_uncertainty", cite=weighers.citation("by_uncertainty"))
def teachers_by_uncertainty(
    *,
    task: Task | None = None,
    teachers: str | Sequence[str] = "teachers.*",
    soft: bool = True,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(Σ_k w_k z_k ‖ student); see `ByUncertainty` for w.

    Args:
        teachers: from small to large: a pattern, in whose order they are, or a list of references.
        soft: whether teachers share an item, or each item has one.
        temperature: T.
        alpha: weight of the teachers.

    Raises:
        ValueError: `alpha` is out of range.
    """
    check_alpha("teachers_by_uncertainty", alpha)
    teacher = Ensemble(teachers, by=ByUncertainty(soft=soft))
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
