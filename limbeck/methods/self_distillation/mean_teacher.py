"""Mean teacher (Tarvainen, Valpola 2017, arXiv 1703.01780)."""

from __future__ import annotations

from limbeck.core.actors import AVERAGE_BIBTEX, average
from limbeck.core.schedules import Linear
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task


@registry.register("mean_teacher", cite=AVERAGE_BIBTEX)
def mean_teacher(
    *,
    task: Task,
    decay: float = 0.999,
    weight: float = 1.0,
    temperature: float = 1.0,
    ramp: float = 0.25,
    view: str | None = None,
) -> DistillationArguments:
    """Trains a student on labels and on the moving average of its own weights, on all items, with or without a label:

    CE(labels) + weight · T² KL(p_mean ‖ p), the mean's weights θ' = decay · θ' + (1 − decay) · θ after each step.

    Student and mean are both results. (The paper compares probabilities by their squared difference.)

    Args:
        decay: of the average, per step, 0 to 1.
        weight: of the mean, once it is reached.
        temperature: T.
        ramp: the share of the training over which the weight grows from 0.
        view: the view that the mean sees, such as a weakly augmented one: `training: {views: {default: […], weak: […]}}`. None:
            the student's.

    Raises:
        ValueError: numbers out of range.
    """
    if weight <= 0 or temperature <= 0 or not 0 <= ramp <= 1:
        raise ValueError(
            f"mean_teacher: weight is {weight}, temperature {temperature} and ramp {ramp}; expected weight and temperature "
            "above 0, and a ramp from 0 to 1"
        )
    growing = Linear(0.0, weight, finish=ramp) if ramp > 0 else weight
    mean = "mean" if view is None else f"mean#{view}"
    terms = [*task.hard_terms("student"), *taught_by(mean, "student", task=task, temperature=temperature, weight=growing)]
    return {"terms": terms, "actors": {"mean": average("student", decay)}, "evaluate": {"student": "student", "mean": "mean"}}
