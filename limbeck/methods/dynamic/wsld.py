"""Weighted soft labels (WSLD, Zhou et al. 2021, arXiv 2102.00650)."""

from __future__ import annotations

from limbeck.core.weighers import WeightedSoftLabels
from limbeck.core.weighers import registry as weighers
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, require_teacher, soft_terms
from limbeck.tasks import Task


@registry.register("wsld", cite=weighers.citation("wsld"))
def wsld(
    *, task: Task | None = None, temperature: float = 4.0, soft: float = 2.25, labels: float = 1.0
) -> DistillationArguments:
    """Returns labels·CE + soft·w·T²·KL(teacher ‖ student), w = 1 − exp(−CE(student, y)/CE(teacher, y)) of each item.

    Soft targets reduce variance and add bias; items that the student already fits better than the teacher only get the bias,
    so they count less. The defaults are the authors' for CIFAR; 2 and 2.5 for ImageNet.

    Args:
        temperature: T; the weight is computed at 1.
        soft, labels: weights of the two parts.

    Raises:
        ValueError: a negative weight, or `soft` of 0.
    """
    require_teacher("wsld", "soft", soft)
    weighed = soft_terms(task, temperature, soft, item_weight=WeightedSoftLabels())
    return {"terms": [*label_terms(task, labels), *weighed]}
