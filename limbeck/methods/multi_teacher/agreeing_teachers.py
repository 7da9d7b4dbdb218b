"""Teachers that agree with each other are trusted; no labels are needed."""

from __future__ import annotations

from limbeck.core.teachers import Ensemble
from limbeck.core.weighers import Agreement
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("agreeing_teachers")
def agreeing_teachers(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    sharpness: float = 10.0,
    remember: float = 0.9,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(Σ_k w_k z_k ‖ student), w_k from the distance to the closest other teacher.

    A teacher that answers at random, or always the same, agrees with nobody and loses its weight, however certain it is. Needs
    three teachers or more, of which most are good.

    Args:
        teachers: a pattern that names them.
        sharpness, remember: of the weights, see `limbeck.core.weighers.Agreement`.
        temperature: T.
        alpha: weight of the teachers; 1: the labels are not used.

    Raises:
        ValueError: an argument out of range.
    """
    check_alpha("agreeing_teachers", alpha)
    teacher = Ensemble(teachers, by=Agreement(sharpness=sharpness, remember=remember))
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
