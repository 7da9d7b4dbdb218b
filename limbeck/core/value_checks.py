"""Checks of labels, and of the values of signals, which read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.core.labels import UNLABELLED


def is_finite(signal: Tensor, counted: Tensor | None) -> bool:
    """Whether all values are finite, in one pass if they are.

    Args:
        counted: which entries matter, broadcastable to the signal; None: all.
    """
    if math.isfinite(signal.sum().item()):  # a sum that overflows is looked at more closely
        return True
    finite = torch.isfinite(signal)
    return bool((finite if counted is None else finite | ~counted).all())


def wrong_label(labels: Tensor, classes: int) -> int | None:
    """The first label that is neither a class nor −100; None if there is none, after one pass if every item has a label."""
    if not labels.numel():
        return None
    low, high = labels.aminmax()
    if int(low) >= 0 and int(high) < classes:
        return None
    wrong = labels[(labels != UNLABELLED) & ((labels < 0) | (labels >= classes))]
    return int(wrong[0]) if wrong.numel() else None


def check_labels(student: torch.Size, target: Any, *, values: bool) -> None:
    """Raises a ValueError if labels or class probabilities do not fit logits.

    Args:
        student: shape of the logits.
        target: class indices, or probabilities of the shape of the logits.
        values: whether indices out of range are looked for.
    """
    if isinstance(target, Mapping):
        parts = ", ".join(target)
        raise ValueError(f"the target is a mapping ({parts}), and one tensor of labels is needed")
    classes = student[-1]
    expected = student if target.is_floating_point() else student[:-1]
    if target.shape != expected:
        what = "class probabilities" if target.is_floating_point() else "labels"
        shapes = f"target {tuple(target.shape)} does not fit student {tuple(student)}"
        raise ValueError(f"{shapes}; {what} of shape {tuple(expected)} are needed")
    if values and not target.is_floating_point() and (wrong := wrong_label(target, classes)) is not None:
        raise ValueError(f"label {wrong} is out of range for {classes} classes (0 to {classes - 1})")
