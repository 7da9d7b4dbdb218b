"""Cross entropy with labels or class probabilities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.core.labels import UNLABELLED


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0, unlabelled: int = UNLABELLED) -> Tensor:
    """Cross entropy over the last axis, unreduced; targets are labels or probabilities. The label `unlabelled` gives 0."""
    own = target.to(logits.dtype) if target.is_floating_point() else target.long()
    if logits.ndim == 2:
        return F.cross_entropy(logits, own, reduction="none", ignore_index=unlabelled, label_smoothing=label_smoothing)
    rows = own.flatten(0, logits.ndim - 2)
    return cross_entropy(logits.flatten(0, -2), rows, label_smoothing, unlabelled).reshape(logits.shape[:-1])


def class_of(target: Tensor) -> Tensor:
    """The class of each item; 0 if it has no label."""
    return target.argmax(-1) if target.is_floating_point() else target.long().clamp_min(0)
