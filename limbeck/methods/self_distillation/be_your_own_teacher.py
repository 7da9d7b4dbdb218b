"""Be your own teacher (Zhang et al. 2019, arXiv 1905.08094)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck.core.teachers import EarlyExit
from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.models.exits import ZHANG_2019
from limbeck.objectives import Hint
from limbeck.tasks import Task

EXITS = "student:exits.*"


@registry.register("be_your_own_teacher", cite=ZHANG_2019)
def be_your_own_teacher(
    *,
    task: Task,
    alpha: float = 0.3,
    temperature: float = 3.0,
    hint: float = 0.03,
    features: str | None = None,
    threshold: float | Sequence[float] = 0.9,
    tolerance: float | None = None,
) -> DistillationArguments:
    """Trains a student with exits, whose deepest output teaches the others: for each exit i

    (1 − α)·CE(labels) + α·T² KL(p_deepest ‖ p_i) + hint · mean (F_i − F_deepest)²,

    with the deepest output and its features detached, and CE(labels) for the deepest output itself.

    The student is made by `with_exits` (in a recipe: `student: {…, exits: [layer1, layer2]}`, in the order in which they run).
    The network, each exit, and early exit by confidence are results, and can be exported each by itself; the confidence is the
    largest probability, so there is no early exit where outputs are no logits of one class out of several.

    Args:
        alpha: share of the deepest output in what an exit learns, 0 to 1.
        temperature: T.
        hint: weight of the features.
        features: the tap of the deepest features, a map before the pooling such as `layer3`; those of an exit come before its
            own pooling, and are mapped to the same shape. None: features are not compared.
        threshold: of the largest probability, at which an item leaves early; see `EarlyExit`. It changes no training.
        tolerance: share of accuracy that early exit may lose on validation data: the thresholds are then chosen there.

    Raises:
        ValueError: numbers out of range.

    The paper names no numbers; the defaults are those of common re-implementations.
    """
    if not 0 <= alpha <= 1 or temperature <= 0 or hint < 0:
        raise ValueError(
            f"be_your_own_teacher: alpha is {alpha}, temperature {temperature} and hint {hint}; expected alpha from 0 to 1, a "
            "temperature above 0 and a hint of 0 or more"
        )
    terms = [*task.hard_terms("student"), *scaled(task.hard_terms(EXITS), 1 - alpha)]
    terms += taught_by("student", EXITS, task=task, temperature=temperature, weight=alpha)
    if features is not None and hint > 0:
        terms.append(Term(Hint(), student=f"{EXITS}.features", teacher=f"student:{features}", weight=hint))
    results: dict[str, Any] = {"student": "student", "exits": EXITS}
    if task.one_class:
        results["early"] = EarlyExit([EXITS, "student"], threshold=threshold, tolerance=tolerance)
    return {"terms": terms, "evaluate": results}
