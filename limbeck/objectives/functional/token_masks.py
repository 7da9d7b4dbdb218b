"""Masks of real tokens: padding never changes a loss.

The mask [B, T] marks an item's real tokens; without one all are real. An item's loss is the mean over its own real tokens (or
queries, or pairs of query and key), so neither the content nor the amount of padding changes value or gradient. Padding has a
gradient of exactly zero, and an item without a real token a loss of exactly zero.
"""

from __future__ import annotations

import torch
from torch import Tensor


def zero_padding(signal: Tensor, real: Tensor) -> Tensor:
    """[B, T, D] or [B, heads, T, d] with zeros at padding.

    Everything computed from it is finite, so multiplying by zero afterwards never yields NaN.
    """
    return torch.where(broadcast_mask(real, signal), signal, 0.0)


def token_pairs(real: Tensor) -> Tensor:
    """Which pairs of query and key are real, [B, 1, T, T]."""
    return real[:, None, :, None] & real[:, None, None, :]


def token_mean(losses: Tensor, real: Tensor) -> Tensor:
    """The mean over an item's real tokens: [B, T] → [B]."""
    return torch.where(real, losses, 0.0).sum(1) / real.sum(1).clamp_min(1)


def broadcast_mask(real: Tensor, signal: Tensor) -> Tensor:
    """[B, T] with an axis for heads (if the signal has them) and one for dimensions."""
    return real[:, None, :, None] if signal.ndim == 4 else real[:, :, None]
