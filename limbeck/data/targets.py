"""What the labels of items may be (classes, numbers, positions), and which items have one.

- classes: int64 `[N]`, 0 or more; -100 where there is no label.
- numbers to be predicted (regression): float32 `[N]`; NaN where there is none.
- positions (the spans of answers, for one): int64 `[N, k]`, 0 or more; -100 in all k columns where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.objective import UNLABELLED


def as_target(targets: Tensor | Sequence[int] | Sequence[float], classes: int | None = None) -> Tensor:
    """Labels as one of the three kinds, told by data type and shape."""
    target = torch.as_tensor(targets)
    found = f"found {target.dtype} of shape {list(target.shape)}"
    if classes is not None and (target.is_floating_point() or target.ndim != 1):
        raise ValueError(f"targets: classes={classes} asks for one class index per item, {found}; leave `classes` out")
    numbers = target.is_floating_point() and target.ndim == 1
    whole = not (target.is_floating_point() or target.is_complex()) and target.ndim in (1, 2)
    if not numbers and not whole:
        expected = "class indices [N], numbers to predict [N] (float), or positions [N, k] (integers)"
        raise ValueError(f"targets: expected {expected}, {found}")
    if numbers:
        return torch.where(target.isnan(), torch.nan, target).to(torch.float32)  # one NaN, so that fingerprints agree
    return target.to(torch.int64)


def check_targets(target: Tensor, classes: int | None) -> int | None:
    """Refuse labels that cannot be; the number of classes: as given, else one more than the largest, None for no classes."""
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
    among = "0 or more" if classes is None else f"0 to {classes - 1} (classes={classes})"
    _refuse(target, wrong, f"{among}, or {UNLABELLED} for no label")
    if classes is None and (target >= 0).any():
        return int(target.max()) + 1
    return classes


def known(target: Tensor) -> Tensor:
    """Which items have a label, bool `[N]`."""
    if target.is_floating_point():
        return ~target.isnan()
    return (target != UNLABELLED).flatten(1).any(1) if target.ndim > 1 else target != UNLABELLED


def stratification_labels(target: Tensor) -> Tensor:
    """What a fair choice of items is even over, int64 `[N]`: the classes; numbers and positions are one class together."""
    if not target.is_floating_point() and target.ndim == 1:
        return target
    return torch.where(known(target), 0, UNLABELLED)


def remove_labels(target: Tensor, rows: Tensor) -> Tensor:
    """The same labels but for those of these rows."""
    target = target.clone()
    target[rows] = torch.nan if target.is_floating_point() else UNLABELLED
    return target


def _refuse(target: Tensor, wrong: Tensor, expected: str) -> None:
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(f"target: row {row} holds {target[row].tolist()}; expected {expected}")
