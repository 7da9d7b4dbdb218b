"""Divergences of independent yes-or-no outcomes."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def bernoulli_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(Bernoulli(σ(p)) ‖ Bernoulli(σ(q))) of each entry, finite for logits of any size.

    With a = (p − q) sign(p) and the less likely outcome's u = σ(−|p|) it is log(1 + u (eᵃ − 1)) − u a, which keeps
    its digits where the two nearly agree.
    """
    divergences: Tensor = _BernoulliDivergence.apply(p_logits, q_logits)  # type: ignore[no-untyped-call]
    return divergences


class _BernoulliDivergence(Function):
    """With its gradient σ(q) − σ(p) as such: of the forward pass nothing but the logits is kept."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor) -> Tensor:
        ctx.save_for_backward(p, q)
        rare, away = p.abs().neg_().sigmoid_(), (p - q).mul_(torch.where(p < 0, -1, 1))
        change = torch.expm1(away)  # of the odds of p's less likely outcome
        divergences = change.mul_(rare).log1p_().addcmul_(rare, away, value=-1)
        return divergences if _exponentials_fit(away) else torch.where(away < 1, divergences, _far(p, q))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        p, q = ctx.saved_tensors
        ours = p.sigmoid()
        of_q = q.sigmoid().sub_(ours).mul_(gradient) if ctx.needs_input_grad[1] else None
        of_p = (p - q).mul_(ours).mul_((-p).sigmoid()).mul_(gradient) if ctx.needs_input_grad[0] else None
        return of_p, of_q


def _far(p: Tensor, q: Tensor) -> Tensor:
    """By the definition, which loses digits only where the two nearly agree."""
    yes = F.logsigmoid(p).sub_(F.logsigmoid(q)).mul_(p.sigmoid())
    no = F.logsigmoid(-p).sub_(F.logsigmoid(-q)).mul_((-p).sigmoid())
    return yes.add_(no)


def _exponentials_fit(values: Tensor) -> bool:
    """Whether eˣ of all values is far from overflow. False on an accelerator, which would have to be waited for."""
    limit = 0.9 * math.log(torch.finfo(values.dtype).max)
    return values.is_cpu and (not values.numel() or bool(values.amax() < limit))
