"""Labels of which a metric says nothing: all are the same, or a class has none."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from limbeck.data import Items
from limbeck.tasks.base import Task

CORRELATIONS = frozenset({"pearson", "spearman", "matthews"})
OF_CLASSES = frozenset({"f1", "macro_f1"})  # means over the classes
OF_LABELS = frozenset({"micro_f1", "mean_average_precision"})


def warn_of_undefined(task: Task, items: Items, classes: int | None, data: str) -> None:
    """Warns where the metric of a task is not defined for the labels of items, and is 0 there, or for a class that has none.

    Args:
        classes: how many the models know; None if the labels are not classes.
    """
    metric = task.metric.name
    target = task.evaluation_items(items).target if metric in CORRELATIONS | OF_CLASSES | OF_LABELS else None
    if isinstance(target, Tensor) and len(target) and (reason := _reason(metric, target, classes)):
        warnings.warn(f"{data}: {reason}; give data with other labels too, or read another metric", stacklevel=2)


def _reason(metric: str, target: Tensor, classes: int | None) -> str | None:
    if metric in CORRELATIONS and target.ndim == 1 and bool((target == target[0]).all()):
        return f"all labels are {target[0].item():g}, for which {metric} is not defined; it is told as 0"
    if metric not in OF_CLASSES | OF_LABELS or classes is None:
        return None
    if target.ndim == 2:
        with_items = (target == 1).any(0)
    elif target.is_floating_point() or target.ndim != 1:
        return None
    else:
        with_items = torch.bincount(target, minlength=classes) > 0
    if classes == 2 and metric == "f1":
        return None if with_items[1] else "no label is class 1, of which f1 is, so that it is 0"
    absent = int((~with_items).sum())
    if metric in OF_LABELS:
        return None if absent < len(with_items) else f"no label applies to any item, so that {metric} is 0"
    return f"{absent} of {len(with_items)} classes have no item, and {metric} counts each as 0" if absent else None
