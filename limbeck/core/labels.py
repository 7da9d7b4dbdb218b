"""Which items and tokens have a label."""

from __future__ import annotations

import torch
from torch import Tensor

UNLABELLED = -100  # the label of an item without one, as in torch's ignore_index


def is_labelled(target: Tensor) -> Tensor:
    """Whether there is a label, bool: not −100, not NaN, and not a row of zeros among class probabilities.

    `[batch]`, or `[batch, k]` and `[batch, tokens]` if items have several labels.
    """
    if not target.is_floating_point():
        return target != UNLABELLED
    return target.sum(-1) > 0 if target.ndim >= 2 else ~target.isnan()


def label_mask(target: Tensor, *, per_item: bool = False) -> Tensor:
    """1 where there is a label, 0 where there is none; with `per_item` `[batch]`, 1 for an item that has any label."""
    labelled = is_labelled(target)
    if per_item and labelled.ndim > 1:
        labelled = labelled.flatten(1).any(1)
    return labelled.to(torch.float32)
