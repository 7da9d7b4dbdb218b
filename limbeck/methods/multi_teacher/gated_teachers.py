"""Several teachers, mixed by a gate that is trained with the student (after AMTML-KD, Liu et al. 2020, arXiv 2103.04062)."""

from __future__ import annotations

from limbeck.core.teachers import Ensemble
from limbeck.core.weighers import Routing
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @misc{liu2020adaptive,
        title = {Adaptive Multi-Teacher Multi-Level Knowledge Distillation},
        author = {Liu, Yuang and Zhang, Wei and Wang, Jun},
        year = {2020},
        eprint = {2103.04062},
        archiveprefix = {arXiv},
    }
"""


@registry.register("gated_teachers", cite=BIBTEX)
def gated_teachers(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    feature: str = "student",
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(Σ_k g_k(f) z_k ‖ student), g = softmax(W f + b), trained with the student.

    The gate has the gradient of the second term alone, so it learns which mix the student can follow, which need not be the
    mix that is right. In the paper the gate reads a latent vector of each teacher too.

    Args:
        teachers: a pattern that names them.
        feature: what the gate reads: `student` (its logits) or a reference such as `student:layer3`, averaged over positions.
        temperature: T.
        alpha: weight of the teachers; 1: the labels are not used.

    Raises:
        ValueError: `alpha` is out of range.
    """
    check_alpha("gated_teachers", alpha)
    teacher = Ensemble(teachers, by=Routing(feature))
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
