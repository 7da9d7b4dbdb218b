"""Models with independent labels: `problem_type="multi_label_classification"`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from limbeck.core.labels import UNLABELLED
from limbeck.core.objective import Objective
from limbeck.core.terms import Term
from limbeck.objectives import BinaryCrossEntropy, BinarySoftTargets, HardTargets, SoftTargets
from limbeck.tasks.next_token import without_peft

PROBLEM = "multi_label_classification"


def has_independent_labels(model: nn.Module, labels: Any) -> bool:
    """Whether the outputs of a model are independent labels.

    As in Transformers: the configuration says so, or it says nothing and the labels are a number for each of several classes.
    """
    config = getattr(without_peft(model), "config", None)
    problem = getattr(config, "problem_type", None)
    if problem is not None:
        return bool(problem == PROBLEM)
    several = isinstance(labels, Tensor) and labels.ndim == 2 and labels.is_floating_point()
    return several and getattr(config, "num_labels", 0) == labels.shape[1] > 1


def as_multi_hot(labels: Tensor) -> Tensor:
    """Labels that are numbers as integers: 1 applies, 0 does not, -100 (or NaN) is unknown."""
    return labels.nan_to_num(UNLABELLED).round().long() if labels.is_floating_point() else labels


def independent_terms(terms: Sequence[Term]) -> list[Term]:
    """The terms for independent labels: a softmax over them would compare labels with each other.

    `soft_targets` becomes `binary_soft_targets` at the same temperature and `hard_targets` `binary_cross_entropy`, with a
    warning; both are summed over labels.

    Raises:
        ValueError: an objective of a softmax that has no such form.
    """
    return [replace(term, objective=_independent(term.objective)) for term in terms]


def _independent(objective: Objective) -> Objective:
    found: Objective = objective
    if isinstance(objective, SoftTargets) and not objective.standardize:
        found = BinarySoftTargets(temperature=objective.temperature)
    elif isinstance(objective, HardTargets) and type(objective) is HardTargets and not objective.label_smoothing:
        found = BinaryCrossEntropy()
    elif objective.reads_classes:
        raise ValueError(
            f"terms: {objective.name} is a softmax over classes, and the student's labels are independent (problem_type: "
            f"{PROBLEM}); use binary_soft_targets or logit_mse"
        )
    if found is not objective:
        warnings.warn(
            f"the student's labels are independent (problem_type: {PROBLEM}), so {objective.name} is computed as {found.name}",
            stacklevel=2,
        )
    return found


def labels_of(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The only labels of a batch; None if there are none or several."""
    found = [inputs[name] for name in names if inputs.get(name) is not None]
    return found[0] if len(found) == 1 else None
