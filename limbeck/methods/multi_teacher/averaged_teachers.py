"""The mean of several teachers: of their logits, of their probabilities, or of their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from limbeck.core.teachers import Ensemble
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{you2017learning,
        title = {Learning from Multiple Teacher Networks},
        author = {You, Shan and Xu, Chang and Xu, Chao and Tao, Dacheng},
        booktitle = {Proceedings of the ACM SIGKDD International Conference on Knowledge Discovery and Data Mining},
        year = {2017},
    }
"""


@registry.register("averaged_teachers", cite=BIBTEX)
def averaged_teachers(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    combine: Literal["logits", "probabilities", "losses"] = "logits",
    weights: Sequence[float] | None = None,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(mean of the teachers ‖ student).

    `logits`: z = Σ_k w_k z_k. `probabilities`: log Σ_k w_k softmax(z_k), then softened; the teachers are mixed before they are
    softened, so an uncertain one counts more than in the mean of logits. `losses`: (1/K)·Σ_k T²·KL(teacher k ‖ student), whose
    gradient is that of the mean of the *softened* probabilities (You et al., KDD 2017).

    Args:
        teachers: a pattern that names them.
        weights: of the teachers, normalised to sum 1; None: equal. Not for `losses`.
        temperature: T.
        alpha: weight of the teachers; 1: the labels are not used.

    Raises:
        ValueError: an argument out of range; weights that are negative, all 0, or given for `losses`.
    """
    check_alpha("averaged_teachers", alpha)
    if combine not in ("logits", "probabilities", "losses"):
        raise ValueError(f"averaged_teachers: combine is {combine!r}; expected 'logits', 'probabilities' or 'losses'")
    if combine == "losses" and weights is not None:
        raise ValueError(f"averaged_teachers: weights are {list(weights)}, and combine is 'losses'; use combine: probabilities")
    teacher = teachers if combine == "losses" else Ensemble(teachers, combine=combine, weights=weights)
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
