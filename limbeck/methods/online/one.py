"""On-the-fly native ensemble (Lan, Zhu, Gong 2018, arXiv 1806.04606)."""

from __future__ import annotations

from limbeck.core.schedules import Linear
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.models.branches import LAN_2018
from limbeck.tasks import Task

HEADS = "student:branches.heads.*"
GATED = "student:branches.heads.ensemble"


@registry.register("one", cite=LAN_2018)
def one(*, task: Task, temperature: float = 3.0, weight: float = 1.0, ramp: float = 0.25) -> DistillationArguments:
    """Trains a student with several branches, whose gated ensemble teaches each of them: for branch i with logits z_i

    Σ_i CE(z_i) + CE(z_e) + weight · Σ_i T² KL(p_e ‖ p_i), z_e = Σ_i g_i z_i, p_e detached in the second sum.

    The student is made by `with_branches` (in a recipe: `student: {…, branches: {modules: [layer3, linear]}}`). Its own output
    is that of the first branch, so what is kept is the plain network; the ensemble is a result of its own.

    Args:
        temperature: T.
        weight: of what comes from the ensemble, once it is reached.
        ramp: the share of the training over which the weight grows from 0. (The paper has a sigmoid over 80 of 300 epochs.)

    Raises:
        ValueError: numbers out of range.
    """
    if weight <= 0 or temperature <= 0 or not 0 <= ramp <= 1:
        raise ValueError(
            f"one: weight is {weight}, temperature {temperature} and ramp {ramp}; expected weight and temperature above 0, and "
            "a ramp from 0 to 1"
        )
    growing = Linear(0.0, weight, finish=ramp) if ramp > 0 else weight
    terms = [*task.hard_terms("student"), *task.hard_terms(HEADS)]
    for student in ("student", HEADS):  # the pattern leaves the ensemble out, which would teach itself
        terms += taught_by(GATED, student, task=task, temperature=temperature, weight=growing)
    return {"terms": terms, "evaluate": {"student": "student", "ensemble": GATED}}
