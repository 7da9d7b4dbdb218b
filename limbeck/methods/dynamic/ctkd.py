"""Curriculum temperature: T is trained to make distillation harder (CTKD, Li et al. 2023, arXiv 2211.16231)."""

from __future__ import annotations

from limbeck.core.weighers import registry as weighers
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("ctkd", cite=weighers.citation("adversarial_temperature"))
def ctkd(
    *,
    task: Task | None = None,
    low: float = 1.0,
    span: float = 20.0,
    until: float = 0.05,
    by_item: bool = False,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(teacher ‖ student), T = low + span·σ(θ); θ climbs what the student descends.

    Args:
        low, span: T is between low and low + span.
        until: share of the training over which the reversed gradient of θ grows from 0 to its full size.
        by_item: whether each item has a temperature of its own.
        alpha: weight of the teacher.

    Raises:
        ValueError: an argument out of range.
    """
    check_alpha("ctkd", alpha)
    temperature = {"adversarial_temperature": {"low": low, "span": span, "until": until, "items": by_item}}
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha)]}
