"""What the objectives on tokens share: padding never counts.

The mask [B, T] marks an item's real tokens; without one all are real. An item's loss is the mean over its own real tokens (or
queries, or pairs of query and key), so neither what stands in the padding nor how much of it there is changes value or
gradient. Padding gets a gradient of exactly zero, and an item without a real token a loss of exactly zero.
"""

from __future__ import annotations

import torch
from torch import Tensor


def blank(signal: Tensor, real: Tensor) -> Tensor:
    """Zero where the tokens of [B, T, D] or [B, heads, T, d] are padding.

    Whatever is computed from a blanked signal is finite: nothing multiplied by zero afterwards could be infinite.
    """
    return torch.where(broadcast_mask(real, signal), signal, 0.0)


def pairs(real: Tensor) -> Tensor:
    """Which pairs of query and key are real, [B, 1, T, T]."""
    return real[:, None, :, None] & real[:, None, None, :]


def token_mean(losses: Tensor, real: Tensor) -> Tensor:
    """The mean over an item's real tokens: [B, T] → [B]."""
    return torch.where(real, losses, 0.0).sum(1) / real.sum(1).clamp_min(1)


def broadcast_mask(real: Tensor, signal: Tensor) -> Tensor:
    """[B, T] with an axis for all heads (where the signal has any) and one for all dimensions."""
    return real[:, None, :, None] if signal.ndim == 4 else real[:, :, None]
