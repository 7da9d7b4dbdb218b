"""KL between distributions over keys [B, heads, T, T], with little memory beyond that of the distributions.

Only the distributions are saved for the backward pass. Everything else is computed for a few items at a time, in both passes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limbeck.objectives.functional.chunking import chunk_slices
from limbeck.objectives.functional.elementary import log_ratio

FLOOR = 1e-30  # of probabilities within logarithms; the largest gradient, 1/FLOOR, leaves room for loss scales


def attention_divergence(student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
    """Σ_j t_j (log t_j − log s_j) of each row: [B, heads, T].

    Args:
        student, teacher: distributions [B, heads, T, T]. Values below `FLOOR` count as `FLOOR` within logarithms.
        counted: which (query, key) pairs are real, bool [B, 1, T, T].
    """
    divergences: Tensor = _AttentionDivergence.apply(student, teacher, counted)  # type: ignore[no-untyped-call]
    return divergences


class _AttentionDivergence(torch.autograd.Function):
    """Divergences [B, heads, T] from both sides' distributions."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
        ctx.save_for_backward(student, teacher, counted)
        divergences = student.new_empty(student.shape[:3])
        for items in chunk_slices(len(student), student[:1].numel(), student.device):
            q, p, real = student[items], teacher[items], counted[items]
            logarithms = log_ratio(_floored(p, real), _floored(q, real))
            divergences[items] = logarithms.mul_(torch.where(real, p, 0.0)).sum(3)
        return divergences

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        student, teacher, counted = ctx.saved_tensors
        ours, theirs = (
            torch.empty_like(x) if wanted else None for x, wanted in zip((student, teacher), ctx.needs_input_grad, strict=False)
        )
        for items in chunk_slices(len(student), student[:1].numel(), student.device):
            q, p, real, slope = student[items], teacher[items], counted[items], gradient[items, :, :, None]
            if ours is not None:  # −p/q
                ours[items] = torch.where(real & ~(q < FLOOR), -p / q, 0.0).mul_(slope)
            if theirs is not None:  # log p − log q, and 1 where log p depends on p
                logarithms = log_ratio(_floored(p, real), _floored(q, real))
                theirs[items] = torch.where(real, logarithms.add_(p >= FLOOR), 0.0).mul_(slope)
        return ours, theirs, None


def _floored(probabilities: Tensor, real: Tensor) -> Tensor:
    return torch.where(real & ~(probabilities < FLOOR), probabilities, FLOOR)  # NaN remains NaN
