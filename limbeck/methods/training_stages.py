"""Losses, optimizers and stages that several methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from limbeck.core.schedules import Linear, Schedule, Warmup
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Stage, epochs
from limbeck.engine.stages import terms_stage
from limbeck.engine.training import TermFactory
from limbeck.tasks import Task


def bert_adamw(lr: float, weight_decay: float = 0.01, warmup: float = 0.1) -> Optimizer:
    """Returns the optimizer that BERT and its students are trained with: AdamW, warm-up, then a linear decay to 0."""
    schedule = Warmup(warmup, then=Linear(1.0, 0.0))
    return Optimizer("adamw", lr, schedule, {"weight_decay": weight_decay}, decay_vectors=False)


def fine_tuning(
    task: Task, *, soft: float, hard: float, temperature: float, length: float, lr: float, name: str = "fine-tuning"
) -> Stage:
    """Returns a stage on the task's own outputs: hard · labels + soft · T² KL(teacher‖student).

    Args:
        length: in epochs.
    """
    terms = weighted_terms((hard, task.hard_terms), (soft, lambda: task.soft_terms(temperature)))
    return terms_stage(terms(), epochs(length), bert_adamw(lr), name=name)


def weighted_terms(*parts: tuple[float, Callable[[], Sequence[Term]]]) -> TermFactory:
    """Returns a function that makes the terms of several parts, multiplied by their weights; a part of weight 0 is left out.

    Raises:
        ValueError: a weight is negative, or all are 0.
    """
    for weight, _ in parts:
        if weight < 0:
            raise ValueError(f"a weight is {weight:g}; expected 0 or more")
    if not any(weight for weight, _ in parts):
        raise ValueError("all weights are 0; expected one above that")

    def make() -> list[Term]:
        found = [(weight, term) for weight, terms in parts if weight for term in terms()]
        for weight, term in found:
            term.weight = term.weight * weight
        return [term for _, term in found]

    return make


def scaled(terms: Sequence[Term], weight: float | Schedule) -> list[Term]:
    """Returns the terms with their weights multiplied; none for a weight of 0."""
    return [replace(term, weight=term.weight * weight) for term in terms] if weight != 0 else []


def taught_by(
    teacher: str | Teacher, student: str, *, task: Task, temperature: float, weight: float | Schedule = 1.0
) -> list[Term]:
    """Returns the task's terms on outputs, T² KL for classes, with this teacher."""
    return scaled([replace(term, teacher=teacher) for term in task.soft_terms(temperature, student)], weight)
