"""Self-knowledge distillation with progressive refinement of targets (Kim et al. 2021, arXiv 2006.12000)."""

from __future__ import annotations

from limbeck.core.schedules import Linear
from limbeck.core.teachers import PastPredictions
from limbeck.core.teachers.past_predictions import KIM_2021
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.tasks import Task


@registry.register("ps_kd", cite=KIM_2021)
def ps_kd(*, task: Task, trust: float = 0.8) -> DistillationArguments:
    """Trains a student on labels and on what it predicted itself for the item when it last saw it, with growing trust:

    CE to (1 − α_t)·label + α_t·p_before, α_t = trust · t / T over the training.

    The cross entropy with p_before and KL(p_before ‖ p) have the same gradient; the term is the latter. The first time that an
    item is seen it learns from the label alone, with weight 1 − α_t.

    Args:
        trust: α at the end, above 0 and at most 1.

    Raises:
        ValueError: `trust` out of range.
    """
    if not 0 < trust <= 1:
        raise ValueError(f"ps_kd: trust is {trust}; expected a number above 0 and at most 1")
    labels = scaled(task.hard_terms("student"), Linear(1.0, 1.0 - trust))
    past = taught_by(PastPredictions(), "student", task=task, temperature=1.0, weight=Linear(0.0, trust))
    return {"terms": [*labels, *past]}
