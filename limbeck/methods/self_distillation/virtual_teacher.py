"""Teacher-free distillation with a hand-made teacher (Yuan et al. 2020, arXiv 1909.11723)."""

from __future__ import annotations

from limbeck.core.teachers import VirtualTeacher
from limbeck.core.teachers.constant import YUAN_2020
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.tasks import Task


@registry.register("virtual_teacher", cite=YUAN_2020)
def virtual_teacher(
    *, task: Task, correct: float = 0.99, temperature: float = 20.0, alpha: float = 0.1
) -> DistillationArguments:
    """Trains a student on labels and on a teacher that is always right, and equally unsure of all other classes (Tf-KD_reg):

    (1 − α)·CE(labels) + α·T² KL(p_virtual ‖ p), p_virtual(y) = correct before both are softened by T.

    At T = 1 this is label smoothing, up to a constant, with ε = α (1 − correct) C / (C − 1) for C classes.

    Args:
        correct: probability of the label.
        temperature: T.
        alpha: weight of the virtual teacher, above 0 and below 1.

    Raises:
        ValueError: numbers out of range.
    """
    if not 0 < alpha < 1 or temperature <= 0:
        raise ValueError(
            f"virtual_teacher: alpha is {alpha} and temperature {temperature}; expected alpha between 0 and 1, and a "
            "temperature above 0"
        )
    taught = taught_by(VirtualTeacher(correct), "student", task=task, temperature=temperature, weight=alpha)
    return {"terms": [*scaled(task.hard_terms("student"), 1 - alpha), *taught]}
