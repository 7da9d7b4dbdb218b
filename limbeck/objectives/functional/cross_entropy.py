"""Cross entropy with labels or class probabilities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy over the last axis, unreduced; targets are labels or probabilities."""
    soft = target.is_floating_point()
    rows = target.to(logits.dtype).reshape(-1, logits.shape[-1]) if soft else target.long().reshape(-1)
    loss = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        rows,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return loss.reshape(logits.shape[:-1])


def class_of(target: Tensor) -> Tensor:
    """The class of each item; 0 if it has no label."""
    return target.argmax(-1) if target.is_floating_point() else target.long().clamp_min(0)
