"""Labels of which the metric of a task says nothing."""

from __future__ import annotations

import warnings

from torch import Tensor

from limbeck.data import Items
from limbeck.tasks.base import Task


def warn_of_undefined(task: Task, items: Items, classes: int | None, data: str) -> None:
    """Warns where the metric of a task is not defined for the labels of items, and is 0 there, or for a class that has none.

    Args:
        classes: how many the models know; None if the labels are not classes.
    """
    target = task.evaluation_items(items).target
    if isinstance(target, Tensor) and len(target) and (reason := task.metric.undefined(target.numpy(), classes)):
        warnings.warn(f"{data}: {reason}; give data with other labels too, or read another metric", stacklevel=2)
