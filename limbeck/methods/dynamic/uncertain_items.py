"""Only the items that the student is least certain about are distilled (Li et al. 2021, arXiv 2109.11295)."""

from __future__ import annotations

from typing import Literal

from limbeck.core.weighers import MostUncertain
from limbeck.core.weighers import registry as weighers
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("uncertain_items", cite=weighers.citation("most_uncertain"))
def uncertain_items(
    *,
    task: Task | None = None,
    share: float = 0.5,
    by: Literal["entropy", "margin", "confidence"] = "entropy",
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(teacher ‖ student) over the `share` of a batch that the student is least sure of.

    Args:
        share: of the items of a batch; 0.5 in the paper.
        by: how uncertainty is measured.
        temperature: T.
        alpha: weight of the teacher.

    Raises:
        ValueError: an argument out of range.
    """
    check_alpha("uncertain_items", alpha)
    chosen = soft_terms(task, temperature, alpha, item_weight=MostUncertain(share=share, by=by))
    return {"terms": [*label_terms(task, 1 - alpha), *chosen]}
