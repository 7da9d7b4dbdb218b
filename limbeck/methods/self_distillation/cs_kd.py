"""Class-wise self-knowledge distillation (Yun et al. 2020, arXiv 2003.13964)."""

from __future__ import annotations

from limbeck.data.image.same_class import YUN_2020
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task


@registry.register("cs_kd", cite=YUN_2020)
def cs_kd(*, task: Task, temperature: float = 4.0, weight: float = 1.0, view: str = "partner") -> DistillationArguments:
    """Trains a student to predict for an item what it predicts for another item of the same class:

    CE(labels) + weight · T² KL(p(x') ‖ p(x)), x' of the class of x, its prediction detached.

    The other item is a view of the first: `training: {views: {default: […], partner: [same_class, …]}}`.

    Args:
        temperature: T.
        weight: of the other item's prediction; the paper's is 1 for small images and 3 for fine-grained classes.
        view: which view shows the other item.

    Raises:
        ValueError: numbers that are not positive.
    """
    if weight <= 0 or temperature <= 0:
        raise ValueError(f"cs_kd: weight is {weight} and temperature {temperature}; expected numbers above 0")
    pair = taught_by(f"student#{view}", "student", task=task, temperature=temperature, weight=weight)
    return {"terms": [*task.hard_terms("student"), *pair]}
