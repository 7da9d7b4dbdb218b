"""Labels of which a metric says nothing, or nothing of some classes.

Each function says why, or None. `target` is [items], or [items, classes] for several labels of each item; `classes` is how many
the models know, None if labels are not classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reason: TypeAlias = Callable[[str, NDArray[Any], int | None], str | None]


def equal_labels(name: str, target: NDArray[Any], classes: int | None) -> str | None:
    """For correlations."""
    if target.ndim == 1 and (target == target[0]).all():
        return f"all labels are {target[0]:g}, for which {name} is not defined; it is told as 0"
    return None


def class_without_items(name: str, target: NDArray[Any], classes: int | None) -> str | None:
    """For means over the classes, and for a metric of class 1 where there are two."""
    if classes is None or (target.ndim == 1 and np.issubdtype(target.dtype, np.floating)):
        return None
    given = (target == 1).any(0) if target.ndim == 2 else np.bincount(target, minlength=classes) > 0
    if target.ndim == 1 and classes == 2:
        return None if given[1] else f"no label is class 1, of which {name} is, so that it is 0"
    absent = int((~given).sum())
    return f"{absent} of {len(given)} classes have no item, and {name} counts each as 0" if absent else None


def no_label_applies(name: str, target: NDArray[Any], classes: int | None) -> str | None:
    """For metrics over the labels of all classes."""
    return None if (target == 1).any() else f"no label applies to any item, so that {name} is 0"
