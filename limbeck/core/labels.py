"""Which items and tokens have a label."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

UNLABELLED = -100  # the label of an item without one, as in torch's ignore_index


def is_labelled(target: Tensor | Mapping[str, Tensor]) -> Tensor:
    """Whether there is a label, bool: not −100, not NaN, and not a row of zeros among class probabilities.

    `[batch]`, or `[batch, k]` and `[batch, tokens]` if items have several labels. Of a mapping `[batch]`: its part "labelled"
    if it has one, as an image without any object needs; otherwise whether any part has a label.
    """
    if isinstance(target, Mapping):
        if "labelled" in target:
            return target["labelled"].bool()
        return torch.stack(
            [is_labelled(part).flatten(1).any(1) if part.ndim > 1 else is_labelled(part) for part in target.values()]
        ).any(0)
    if not target.is_floating_point():
        return target != UNLABELLED
    return target.sum(-1) > 0 if target.ndim >= 2 else ~target.isnan()


def all_labelled(target: Tensor) -> bool:
    """Whether each of these labels, class indices or numbers, is one. Waits for the device."""
    if target.is_floating_point() or not target.numel():
        return not bool(target.isnan().any())
    return int(target.min()) > UNLABELLED


def single_target(target: Tensor | Mapping[str, Tensor] | None, reader: str) -> Tensor:
    """The target as one tensor.

    Args:
        reader: what reads it, for the message.

    Raises:
        ValueError: no target, or one of several parts.
    """
    if target is None:
        raise ValueError(f"{reader}: needs labels and the batch has none")
    if isinstance(target, Mapping):
        raise ValueError(f"{reader}: needs one tensor of labels, and the target has the parts {', '.join(target)}")
    return target


def label_mask(target: Tensor | Mapping[str, Tensor], *, per_item: bool = False) -> Tensor:
    """1 where there is a label, 0 where there is none; with `per_item` `[batch]`, 1 for an item that has any label."""
    labelled = is_labelled(target)
    if per_item and labelled.ndim > 1:
        labelled = labelled.flatten(1).any(1)
    return labelled.to(torch.float32)
