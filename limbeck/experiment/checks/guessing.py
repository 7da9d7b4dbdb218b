"""A finished teacher that does no better than guessing, found before anybody learns from it."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from limbeck.data import Items
from limbeck.data.class_names import describe_classes
from limbeck.metrics.chance import is_at_chance, wilson_interval
from limbeck.tasks import Classification, Task

ITEMS = 500  # on which the teacher is tried
SHOWN = 6  # items in the message


def warn_of_guessing(task: Task, teacher: nn.Module | None, items: Items, data: str, name: str = "teacher") -> None:
    """Warns of a classifier whose accuracy cannot be told from guessing or is below it, with its first answers.

    Such a teacher has its classes in another order than the data, was trained on other inputs, or on nothing. One whose outputs
    are not finite is another matter, and warned of when it answers.

    Args:
        name: what the message calls it.
    """
    if teacher is None or not isinstance(task, Classification) or items.target is None:
        return
    some = items.labelled()
    if not len(some):
        return
    some = some.select(torch.randperm(len(some), generator=torch.Generator().manual_seed(0))[:ITEMS])
    outputs = task.outputs(teacher, some)
    predicted, classes = outputs.argmax(-1), outputs.shape[-1]
    if not bool(outputs.isfinite().all()):
        return
    right = int((predicted == some.target).sum())
    if not is_at_chance(right, len(some), max(1 / classes, float(some.target.bincount().max()) / len(some))):
        return
    first = zip(some.target[:SHOWN].tolist(), predicted[:SHOWN].tolist(), strict=True)
    pairs = ", ".join(f"{label}→{answer}" for label, answer in first)
    names = "" if some.class_names is None else f"; classes of the data: {describe_classes(some.class_names)}"
    below = "fewer than" if wilson_interval(right, len(some))[1] < 1 / classes else "no more than"
    warnings.warn(
        f"{name}: it is right on {right} of {len(some)} items of the {data}, {below} guessing reaches (label→answer of the "
        f"first: {pairs}{names}). Are its classes in the order of the data's, and does it read inputs of this range?",
        stacklevel=2,
    )
