"""Adaptive knowledge distillation based on entropy (Kwon et al., ICASSP 2020)."""

from __future__ import annotations

from limbeck.core.weighers import Confidence
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{kwon2020adaptive,
        title = {Adaptive Knowledge Distillation Based on Entropy},
        author = {Kwon, Kisoo and Na, Hwidong and Lee, Hoshik and Kim, Nam Soo},
        booktitle = {International Conference on Acoustics, Speech and Signal Processing},
        year = {2020},
    }
"""


@registry.register("eb_kd", cite=BIBTEX)
def eb_kd(
    *, task: Task | None = None, teachers: str = "teachers.*", temperature: float = 4.0, alpha: float = 0.9
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·Σ_k w_k·T²·KL(teacher k ‖ student), w_k = (1 − H_k / Σ_j H_j) / (K − 1).

    H_k is the entropy of teacher k on the item. No labels are needed, but a teacher that is wrong with confidence keeps its
    weight; see `agreeing_teachers`.

    Args:
        teachers: a pattern that names them.
        temperature: T.
        alpha: weight of the teachers; 1: the labels are not used.

    Raises:
        ValueError: `alpha` is out of range.
    """
    check_alpha("eb_kd", alpha)
    weigher = Confidence(labels=False, sum_to="teachers")
    soft = soft_terms(task, temperature, alpha, teacher=teachers, item_weight=weigher)
    return {"terms": [*label_terms(task, 1 - alpha), *soft]}
