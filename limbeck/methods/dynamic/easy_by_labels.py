"""Easy items are learned from their labels, hard ones from the teacher."""

from __future__ import annotations

from limbeck.core.weighers import Hardness
from limbeck.core.weighers.hardness import Measure
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, require_teacher, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{zhang2020prime,
        title = {Prime-Aware Adaptive Distillation},
        author = {Zhang, Youcai and Lan, Zhonghao and Dai, Yuchen and Zeng, Fangao and Bai, Yan and Chang, Jie and Wei, Yichen},
        booktitle = {European Conference on Computer Vision},
        year = {2020},
        eprint = {2008.01458},
        archiveprefix = {arXiv},
    }
"""


@registry.register("easy_by_labels", cite=BIBTEX)
def easy_by_labels(
    *,
    task: Task | None = None,
    by: Measure = "difficulty",
    labels: float = 1.0,
    soft: float = 1.0,
    temperature: float = 4.0,
    of: str = "teacher",
) -> DistillationArguments:
    """Returns labels·(1 − h)·CE + soft·h·T²·KL(teacher ‖ student); h from 0 to 1 is how hard the item is for the student now.

    All items start hard, so the student begins with the teacher and goes over to labels item by item. Weights by the hardness
    of an item are the idea of prime-aware distillation (arXiv 2008.01458), which learns them instead.

    Args:
        by: `entropy` or `confidence` of the student, `disagreement` of student and teacher, `difficulty` 1 − p_s(y).
        labels, soft: weights of the two parts.
        temperature: T.
        of: the teacher, as a reference.

    Raises:
        ValueError: an unknown measure; a negative weight, or `soft` of 0.
    """
    require_teacher("easy_by_labels", "soft", soft)
    easy = Hardness(by=by, prefer="easy", of=of if by == "disagreement" else None)
    return {
        "terms": [
            *label_terms(task, labels, item_weight=easy),
            *soft_terms(task, temperature, soft, teacher=of, item_weight=Hardness(by=by)),
        ]
    }
