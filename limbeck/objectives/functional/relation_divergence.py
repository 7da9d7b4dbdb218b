"""KL between the relations softmax(XXᵀ/√d) of two sides, without storing the relations.

Relations are heads·T² numbers for each item, far more than the T·D of X. They are computed for a few heads at a time, together
with the gradient with respect to X. Only this gradient, of the size of X, is saved for the backward pass, which multiplies it
by one number for each item.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limbeck.objectives.functional.chunking import chunk_slices
from limbeck.objectives.functional.divergence import probability_gap

MASKED_SCORE = -1e30  # added to the score of a padded key: its probability is exactly 0, its logarithm finite


def relation_divergence(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Mean over heads and real queries of KL(R_t‖R_s), R = softmax(XXᵀ/√d) over real keys: [B].

    Args:
        student, teacher: X [B, heads, T, d], zero at padding; d may differ.
        real: bool [B, T].
    """
    batch, heads = student.shape[:2]
    share = real.to(student.dtype) / (heads * real.sum(1, keepdim=True).clamp_min(1))
    bias = torch.where(real, 0.0, MASKED_SCORE).to(student.dtype)
    of_each_head = (x.repeat_interleave(heads, dim=0) for x in (share[:, :, None], bias[:, None, :]))
    wanted = [torch.is_grad_enabled() and x.requires_grad for x in (student, teacher)]
    sides = student.flatten(0, 1), teacher.flatten(0, 1)
    losses: Tensor = _RowDivergence.apply(*sides, *of_each_head, wanted)  # type: ignore[no-untyped-call]
    return losses.view(batch, heads).sum(1)


class _RowDivergence(torch.autograd.Function):
    """Σ_i share_i KL(R_t‖R_s)_i for X [rows, T, d], a row for each head of an item: [rows]."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, share: Tensor, bias: Tensor, wanted: list[bool]) -> Tensor:
        losses = student.new_empty(len(student))
        ours, theirs = (torch.empty_like(x) if want else None for x, want in zip((student, teacher), wanted, strict=True))
        for rows in chunk_slices(len(student), student.shape[1] ** 2, student.device):
            log_q, log_p = (_log_relations(x[rows], bias[rows]) for x in (student, teacher))
            p = log_p.exp()
            log_ratio = log_p.sub_(log_q)
            weighted = p * log_ratio
            gap = probability_gap(log_q.exp_().add_(p), log_ratio)
            divergences = (weighted + gap).sum(2, keepdim=True)  # q − p sums to 0 and keeps small divergences precise
            losses[rows] = (divergences * share[rows]).sum((1, 2))
            if ours is not None:
                ours[rows] = _through_products(gap, share[rows], student[rows])
            if theirs is not None:
                theirs[rows] = _through_products(weighted.sub_(p.mul_(divergences)), share[rows], teacher[rows])
        ctx.save_for_backward(ours, theirs)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        factor = gradient[:, None, None]
        ours, theirs = (None if known is None else known * factor for known in ctx.saved_tensors)
        return ours, theirs, None, None, None


def _log_relations(x: Tensor, bias: Tensor) -> Tensor:
    """log softmax(XXᵀ/√d + bias): [rows, T, d] → [rows, T, T]."""
    return torch.baddbmm(bias, x, x.mT, alpha=x.shape[2] ** -0.5).log_softmax(2)


def _through_products(gradient: Tensor, share: Tensor, x: Tensor) -> Tensor:
    """The gradient with respect to X, given that of the scores XXᵀ/√d, share · gradient [rows, T, T].

    Weighting the rows of X instead of the gradient saves T² products.
    """
    return torch.baddbmm((gradient @ x).mul_(share), gradient.mT, x * share).mul_(x.shape[2] ** -0.5)
