"""The distillation token of data-efficient image transformers (Touvron et al. 2021, arXiv 2012.12877)."""

from __future__ import annotations

from typing import Literal

from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.objectives import TeacherArgmax
from limbeck.tasks import Task

Kind = Literal["hard", "soft"]


@registry.register("deit", cite=TeacherArgmax.bibtex)
def deit(
    *,
    task: Task,
    kind: Kind = "hard",
    alpha: float | None = None,
    temperature: float = 3.0,
    class_head: str = "student:head",
    distillation_head: str = "student:head_dist",
) -> DistillationArguments:
    """Trains a vision transformer with a second token: the class token learns the labels, the other one the teacher.

    hard: (1 − α)·CE(class head, labels) + α·CE(distillation head, argmax t), α = 0.5.
    soft: (1 − α)·CE(class head, labels) + α·T² KL(p_t ‖ p_distillation head), α = 0.1 and T = 3.

    The student's output is the mean of both heads, which is what is evaluated and kept (in a recipe:
    `student: {model: vit_tiny, args: {distilled: true}}`). The control learns the labels with that mean.

    Args:
        kind: whether the teacher's most likely class is learned or its distribution.
        alpha: share of the teacher, between 0 and 1. None: the paper's.
        temperature: T of `soft`.
        class_head, distillation_head: the logits of each head, for models that call them otherwise.

    Raises:
        ValueError: an unknown kind, numbers out of range, one head for both.
    """
    if kind not in ("hard", "soft"):
        raise ValueError(f"deit: kind is {kind!r}; expected hard or soft")
    share = alpha if alpha is not None else 0.5 if kind == "hard" else 0.1
    if not 0 < share < 1 or temperature <= 0:
        raise ValueError(f"deit: alpha is {share} and temperature {temperature}; expected alpha between 0 and 1, T above 0")
    if class_head == distillation_head:
        raise ValueError(f"deit: class_head and distillation_head are both {class_head!r}; name two heads")
    terms = scaled(task.hard_terms(class_head), 1 - share)
    if kind == "soft":
        terms += taught_by("teacher", distillation_head, task=task, temperature=temperature, weight=share)
    else:
        terms.append(Term(TeacherArgmax(), student=distillation_head, teacher="teacher", weight=share))
    return {"terms": terms, "evaluate": {"student": "student"}}
