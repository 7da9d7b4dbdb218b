"""Teachers that know different classes, merged into a student that knows all (Vongkulbhisal et al. 2019, arXiv 1904.06062)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from limbeck.core.teachers import Ensemble
from limbeck.core.teachers.class_sets import ClassNames
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{vongkulbhisal2019unifying,
        title = {Unifying Heterogeneous Classifiers with Distillation},
        author = {Vongkulbhisal, Jayakorn and Vinayavekhin, Phongtharin and Visentini-Scarzanella, Marco},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2019},
        eprint = {1904.06062},
        archiveprefix = {arXiv},
    }
"""


@registry.register("merged_classes", cite=BIBTEX)
def merged_classes(
    *,
    classes: Mapping[str, ClassNames],
    task: Task | None = None,
    teachers: str = "teachers.*",
    by: str | Mapping[str, Any] | None = "teacher_confidence",
    combine: Literal["logits", "probabilities"] = "logits",
    temperature: float = 2.0,
    alpha: float = 1.0,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(merged teachers ‖ student) over all classes that some teacher knows.

    Classes of one name are one class. `logits`: the logits of a class are the weighted mean of the centred logits of those that
    know it; `probabilities`: a teacher gives probability 0 to classes that it does not know. The paper fits probabilities
    over all classes that explain those of every teacher; here the teachers are weighed item by item instead, because only
    weights can say that a teacher does not know what it sees.

    Args:
        classes: class names of each teacher in the order of its outputs, by its name; the key `student` gives the order of the
            student's classes.
        teachers: a pattern that names them.
        by: what weighs the teachers on an item; None: equal. If the domain of items is known, `domain_teachers` does better.
        combine: what is merged.
        temperature: T.
        alpha: weight of the teachers; 1, the default: the labels are not used.

    Raises:
        ValueError: an argument out of range; class names that do not fit together.
    """
    check_alpha("merged_classes", alpha)
    teacher = Ensemble(teachers, by=by, classes=classes, combine=combine)
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
