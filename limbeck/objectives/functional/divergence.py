"""Kullback-Leibler divergence of distributions that are given by their logarithms, precise where the two nearly agree.

Σ_c p (log p − log q) is a small difference of large terms of both signs if p and q are close, as they are at high temperatures,
and takes over the rounding of both normalisations. Σ_c (p (log p − log q) + q − p) is the same number, since p and q sum to 1;
none of its terms is negative, and errors of the logarithms cancel to first order.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limbeck.objectives.functional.chunking import chunk_slices


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p‖q) over the last axis, from logarithms of one shape.

    The gradients are p (log p − log q) and q − p: to the softmax that made the logarithms, those of the plain formula.
    """
    wanted = [torch.is_grad_enabled() and side.requires_grad for side in (log_p, log_q)]
    axis = log_p.shape[-1]
    slices = list(chunk_slices(log_p.numel() // max(1, axis), axis, log_p.device))
    if len(slices) < 2:
        return _Divergence.apply(log_p, log_q, *wanted)  # type: ignore[no-any-return, no-untyped-call]
    step = slices[0].stop
    parts = zip(*(torch.split(side.flatten(0, -2), step) for side in (log_p, log_q)), strict=True)
    return torch.cat([_Divergence.apply(*part, *wanted) for part in parts]).view(log_p.shape[:-1])  # type: ignore[no-untyped-call]


class _Divergence(torch.autograd.Function):
    """Computed together with the gradients, of which one factor is left out, so that nothing else is kept."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, log_q: Tensor, of_p: bool, of_q: bool) -> Tensor:
        p, log_ratio = log_p.exp(), log_q - log_p
        gap = probability_gap(p, log_q, log_ratio)
        divergences = torch.addcmul(gap, p, log_ratio, value=-1).sum(-1)
        ctx.save_for_backward(log_ratio.mul_(p).neg_() if of_p else None, gap if of_q else None)
        return divergences

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_p, of_q = (None if known is None else known * gradient[..., None] for known in ctx.saved_tensors)
        return of_p, of_q, None, None


def probability_gap(p: Tensor, log_q: Tensor, log_ratio: Tensor) -> Tensor:
    """q − p, accurate where the two nearly agree.

    Args:
        log_ratio: log q − log p.
    """
    ratio = torch.expm1(log_ratio)  # q/p − 1, which overflows where p is far smaller
    if exponentials_fit(log_ratio):
        return ratio.mul_(p)
    return torch.where(log_ratio < 1, ratio.mul_(p), log_q.exp() - p)


def exponentials_fit(values: Tensor) -> bool:
    """Whether eˣ of all values is far from overflow. False on an accelerator, which would have to be waited for."""
    limit = 0.9 * math.log(torch.finfo(values.dtype).max)
    return values.is_cpu and (not values.numel() or bool(values.amax() < limit))
