"""Each domain has a teacher of its own, and one student learns from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limbeck.core.teachers import Ensemble
from limbeck.core.teachers.class_sets import ClassNames
from limbeck.core.weighers import Domain
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha, label_terms, soft_terms
from limbeck.tasks import Task


@registry.register("domain_teachers")
def domain_teachers(
    *,
    task: Task | None = None,
    teachers: str | Sequence[str] = "teachers.*",
    field: str = "domain",
    routes: Sequence[int] | None = None,
    classes: Mapping[str, ClassNames] | Sequence[ClassNames] | None = None,
    temperature: float = 4.0,
    alpha: float = 1.0,
) -> DistillationArguments:
    """Returns (1 − α)·CE(labels) + α·T²·KL(teacher of the item's domain ‖ student).

    The number of an item's domain is a field of it, or the number of its source in batches of the source `mixture`. All
    teachers run on all items, unless they are cached.

    Args:
        teachers: a pattern, or references in the order of the domains.
        field: where the number of an item's domain is found.
        routes: number of the teacher of each domain; None: domain k has teacher k.
        classes: class names of each teacher, if they know different classes; the student then knows all of them.
        temperature: T.
        alpha: weight of the teachers; 1, the default: the labels are not used.

    Raises:
        ValueError: an argument out of range; class names that do not fit together.
    """
    check_alpha("domain_teachers", alpha)
    by = Domain(field=field, routes=routes)
    teacher = Ensemble(teachers, by=by, classes=classes, combine="logits" if classes is None else "probabilities")
    return {"terms": [*label_terms(task, 1 - alpha), *soft_terms(task, temperature, alpha, teacher=teacher)]}
