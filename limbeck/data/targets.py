"""The three kinds of labels an item may have.

- Classes: int64 `[N]`, 0 or more; -100 for an item without a label.
- Numbers to predict (regression): float32 `[N]`; NaN for an item without a label.
- Positions, such as those of answer spans: int64 `[N, k]`, 0 or more; -100 in all k columns for an item without a label.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.labels import UNLABELLED, label_mask


def as_target(targets: Tensor | Sequence[int] | Sequence[float], classes: int | None = None) -> Tensor:
    """Labels as a tensor of one of the three kinds, which follows from data type and shape.

    Raises:
        ValueError: another data type or shape; `classes` given for labels that are not class indices.
    """
    target = torch.as_tensor(targets)
    found = f"found {target.dtype} of shape {list(target.shape)}"
    if classes is not None and (target.is_floating_point() or target.ndim != 1):
        raise ValueError(f"targets: classes={classes} needs one class index per item, {found}; leave `classes` out")
    numbers = target.is_floating_point() and target.ndim == 1
    whole = not (target.is_floating_point() or target.is_complex()) and target.ndim in (1, 2)
    if not numbers and not whole:
        expected = "class indices [N], numbers to predict [N] (float), or positions [N, k] (integers)"
        raise ValueError(f"targets: expected {expected}, {found}")
    if numbers:
        return torch.where(target.isnan(), torch.nan, target).to(torch.float32)  # one NaN, so that fingerprints agree
    return target.to(torch.int64)


def check_targets(target: Tensor, classes: int | None) -> int | None:
    """Check the values of labels and return the number of classes.

    Returns:
        `classes` if given, else the largest class index plus one; None if the labels are not classes.

    Raises:
        ValueError: a label that is out of range or not finite, with its row.
    """
    if target.is_floating_point():
        _refuse(target, target.isinf(), "a finite number, or NaN for no label")
        return None
    if target.ndim == 2:
        negative = (target < 0).any(1) & (target != UNLABELLED).any(1)
        _refuse(target, negative, f"positions of 0 or more, or {UNLABELLED} in every column for no label")
        return None
    wrong = (target < 0) & (target != UNLABELLED)
    if classes is not None:
        wrong |= target >= classes
    expected = "0 or more" if classes is None else f"0 to {classes - 1} (classes={classes})"
    _refuse(target, wrong, f"{expected}, or {UNLABELLED} for no label")
    if classes is None and (target >= 0).any():
        return int(target.max()) + 1
    return classes


def is_labelled(target: Tensor) -> Tensor:
    """Which items have a label, bool `[N]`."""
    return label_mask(target, per_item=True).bool()


def stratification_labels(target: Tensor) -> Tensor:
    """Groups to stratify by, int64 `[N]`: classes; labels of another kind form one group, unlabelled items another (-100)."""
    if not target.is_floating_point() and target.ndim == 1:
        return target
    return torch.where(is_labelled(target), 0, UNLABELLED)


def remove_labels(target: Tensor, rows: Tensor) -> Tensor:
    """A copy in which these rows have no label."""
    target = target.clone()
    target[rows] = torch.nan if target.is_floating_point() else UNLABELLED
    return target


def renumber_classes(target: Tensor, names: Sequence[str], new_names: Sequence[str]) -> Tensor:
    """Class indices that pointed into `names`, as indices into `new_names`."""
    index = torch.tensor([list(new_names).index(name) for name in names])
    return torch.where(target >= 0, index[target.clamp(min=0)], target)


def _refuse(target: Tensor, wrong: Tensor, expected: str) -> None:
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(f"target: row {row} holds {target[row].tolist()}; expected {expected}")
