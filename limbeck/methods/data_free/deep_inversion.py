"""DeepInversion and its adaptive form (Yin et al. 2020, arXiv 1912.08795)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.data.sources import BalancedLabels
from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import soft_terms
from limbeck.objectives import BatchNormStatistics
from limbeck.tasks import Task


@registry.register("deep_inversion", cite=BatchNormStatistics.bibtex)
def deep_inversion(
    *,
    task: Task,
    length: Length,
    shape: Sequence[int],
    classes: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    samples: int = 256,
    rounds: int = 4,
    every: int | None = None,
    steps: int = 500,
    lr: float = 0.1,
    statistics: float = 1.0,
    smoothness: float = 0.0,
    adversary: float = 0.0,
    temperature: float = 4.0,
    view: Sequence[str | Mapping[str, Any]] = (),
) -> DistillationArguments:
    """Trains inputs until the teacher sees their class in them and its BatchNorm layers read them like its training data:

    inputs: CE(y, teacher) + r Σ_l (‖μ_l − μ_BN‖ + ‖σ²_l − σ²_BN‖) + s · smoothness − c · 9 JS_{T=3}(teacher, student);
    student: T² KL(p_T(teacher) ‖ p_T(student)).

    The adaptive form has c > 0 and makes inputs while the student learns: `adversary: 1, every: 200`.

    Args:
        shape, low, high, batch_size: of one input and its numbers, and of the student's batches; see `MadeInputs`.
        classes: of the teacher; None: as many as it has outputs.
        samples, rounds: inputs that are made at once, and how often. All before the student starts, or, with `every`, the first
            round before and the others after so many steps of the student each.
        steps, lr: of each round.
        statistics: r; a teacher without BatchNorm needs 0, and then all that is left is the class.
        smoothness, adversary: s and c.
        temperature: T.
        view: transforms under which student and teacher see images, as `[horizontal_flip, {random_crop: {padding: 4}}]`.

    Raises:
        ValueError: numbers out of range; an adversary without `every`, for which there is no student yet.
    """
    made = MadeInputs("deep_inversion", shape, low, high, batch_size)
    if adversary > 0 and every is None:
        raise ValueError(
            f"deep_inversion: adversary is {adversary}, but all inputs are made before the student has learned; give every, "
            "the steps of the student between two rounds, such as every: 200"
        )
    terms = weighted(
        "deep_inversion",
        labels=(1.0, parts.labels),
        statistics=(statistics, parts.statistics),
        smoothness=(smoothness, parts.smoothness),
        adversary=(adversary, lambda: parts.adversary("js", 3.0)),
    )
    times = {"ahead": rounds if every is None else 1, "every": every, "rounds": rounds, "size": samples * rounds}
    learn = soft_terms(task, temperature, 1.0)
    return made.synthesis(
        terms, learn, length, made.pixels(samples), targets=BalancedLabels(classes), steps=steps, lr=lr, view=view, **times
    )
