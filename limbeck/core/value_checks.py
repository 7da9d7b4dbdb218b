"""Checks of the values of signals and labels, which read them."""

from __future__ import annotations

import math

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
