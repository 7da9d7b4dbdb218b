"""One of several teachers, drawn for every batch (Fukuda et al., Interspeech 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.core.teachers import Drawn
from limbeck.core.teachers import registry as teacher_registry
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("drawn_teacher", cite=teacher_registry.citation("drawn"))
def drawn_teacher(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    weights: Sequence[float] | None = None,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(teacher k ‖ student), k drawn for every batch; only this teacher runs.

    In expectation the loss is the mean of the losses over the teachers, at the cost of one.

    Args:
        teachers: a pattern that names them.
        weights: how often each is drawn, normalised to sum 1; None: equally often.
        temperature: T.
        alpha: weight of the teachers; 1: the labels are not used.

    Raises:
        ValueError: an argument out of range; weights that are negative or all 0.
    """
    check_alpha("drawn_teacher", alpha)
    teacher = Drawn(teachers, weights=weights)
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
