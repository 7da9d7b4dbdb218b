"""Models that do no better than guessing: a teacher, before anybody learns from it, and students as they start."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

from limbeck.data import Items
from limbeck.data.class_names import describe_classes
from limbeck.metrics.chance import is_at_chance, wilson_interval
from limbeck.tasks import Classification, Regression, Task

ITEMS = 500  # on which the teacher is tried
SHOWN = 6  # items in the message


class _Tried(NamedTuple):
    """Some items, the classes predicted for them, how many are right, and the number of classes."""

    items: Items
    predicted: Tensor
    right: int
    classes: int

    @property
    def is_at_chance(self) -> bool:
        assert self.items.target is not None
        share = float(self.items.target.bincount().max()) / len(self.items)
        return is_at_chance(self.right, len(self.items), max(1 / self.classes, share))


def _try(task: Task, model: nn.Module, items: Items) -> _Tried | None:
    """Asks a classifier about a few labelled items; None if there are none, or its outputs are not finite."""
    if not isinstance(task, Classification) or items.target is None or not len(some := items.labelled()):
        return None
    some = some.select(torch.randperm(len(some), generator=torch.Generator().manual_seed(0))[:ITEMS])
    outputs = task.outputs(model, some)
    if not bool(outputs.isfinite().all()):
        return None
    predicted = outputs.argmax(-1)
    return _Tried(some, predicted, int((predicted == some.target).sum()), outputs.shape[-1])


def beats_guessing(task: Task, model: nn.Module, items: Items) -> bool:
    """Whether a classifier is right more often on some of the items than guessing is; False where that cannot be told."""
    tried = _try(task, model, items)
    return tried is not None and not tried.is_at_chance


def warn_of_guessing(
    task: Task, teacher: nn.Module | None, items: Items, data: str, name: str = "teacher", *, trained_here: bool = False
) -> None:
    """Warns of a classifier whose accuracy cannot be told from guessing or is below it, with its first answers.

    Such a teacher has its classes in another order than the data, was trained on other inputs, or on nothing; one that the
    run has trained itself has learned too little. One whose outputs are not finite is another matter, and warned of when it
    answers.

    Args:
        name: what the message calls it.
        trained_here: whether the run has trained it on this data.
    """
    if isinstance(task, Regression):
        _warn_of_one_number(task, teacher, items, data, name, trained_here=trained_here)
    if teacher is None or (tried := _try(task, teacher, items)) is None or not tried.is_at_chance:
        return
    some, predicted, right, classes = tried
    first = zip(some.target[:SHOWN].tolist(), predicted[:SHOWN].tolist(), strict=True)
    pairs = ", ".join(f"{label}→{answer}" for label, answer in first)
    names = "" if some.class_names is None else f"; classes of the data: {describe_classes(some.class_names)}"
    question = "Are its classes in the order of the data's, and does it read inputs of this range?"
    if trained_here:
        question = "The run has trained it: train it longer (epochs, lr), give it more labels, or choose another model"
    below = "fewer than" if wilson_interval(right, len(some))[1] < 1 / classes else "no more than"
    warnings.warn(
        f"{name}: it is right on {right} of {len(some)} items of the {data}, {below} guessing reaches (label→answer of the "
        f"first: {pairs}{names}). {question}",
        stacklevel=2,
    )


def _warn_of_one_number(
    task: Task, teacher: nn.Module | None, items: Items, data: str, name: str, *, trained_here: bool
) -> None:
    """Warns of a teacher whose squared error is no smaller than that of the mean label, which is one number for all items."""
    some = items.labelled()
    if teacher is None or len(some) < 2:
        return
    some = some.select(torch.randperm(len(some), generator=torch.Generator().manual_seed(0))[:ITEMS])
    predicted, labels = task.outputs(teacher, some).flatten().double(), some.target
    assert isinstance(labels, Tensor)
    labels = labels.double()
    found, of_mean = float((predicted - labels).square().mean()), float((labels - labels.mean()).square().mean())
    if not math.isfinite(found) or found < of_mean or of_mean == 0:
        return
    first = zip(labels[:SHOWN].tolist(), predicted[:SHOWN].tolist(), strict=True)
    pairs = ", ".join(f"{label:.3g}→{answer:.3g}" for label, answer in first)
    question = "Does it predict in the unit of the labels, and does it read inputs of this range?"
    if trained_here:
        question = (
            "The run has trained it: train it longer (epochs, lr), or scale the labels: subtract their mean, divide by their "
            "standard deviation"
        )
    warnings.warn(
        f"{name}: its squared error on {len(some)} items of the {data} is {found:.3g}, and {of_mean:.3g} is that of one number "
        f"for all, their mean (label→answer of the first: {pairs}). {question}",
        stacklevel=3,
    )
