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


def log_mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """log(share · p + (1 − share) · q), from logarithms of one shape; 0 ≤ share < 1."""
    if share == 0:
        return log_q
    return torch.logaddexp(log_p + math.log(share), log_q + math.log1p(-share))


class _Divergence(torch.autograd.Function):
    """Computed together with the gradients, of which one factor is left out. The logarithms are in memory anyway: they are what
    the softmax keeps."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, log_q: Tensor, of_p: bool, of_q: bool) -> Tensor:
        p, log_ratio = log_p.exp(), log_p - log_q
        both = log_q.exp().add_(p)
        weighted = p.mul_(log_ratio)
        gap = probability_gap(both, log_ratio)
        ctx.save_for_backward(log_p, log_q, weighted if of_p else None, gap if of_q else None)
        return (weighted + gap if of_p else weighted.add_(gap)).sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        log_p, log_q, of_p, of_q = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradients are differentiated in turn
            p = log_p.exp()
            of_p, of_q = None if of_p is None else p * (log_p - log_q), None if of_q is None else log_q.exp() - p
        of_p, of_q = (None if known is None else known * gradient[..., None] for known in (of_p, of_q))
        return of_p, of_q, None, None


def probability_gap(both: Tensor, log_ratio: Tensor) -> Tensor:
    """q − p = −(q + p) tanh(½ log p/q), accurate where the two nearly agree and finite where they do not.

    Args:
        both: q + p.
        log_ratio: log p − log q, which is overwritten.
    """
    return log_ratio.mul_(-0.5).tanh_().mul_(both)
