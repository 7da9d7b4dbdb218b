"""Divergences of independent yes-or-no outcomes."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def bernoulli_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(Bernoulli(σ(p)) ‖ Bernoulli(σ(q))) of each entry, finite for logits of any size."""
    divergences: Tensor = _BernoulliDivergence.apply(p_logits, q_logits)  # type: ignore[no-untyped-call]
    return divergences


class _BernoulliDivergence(Function):
    """With its gradient σ(q) − σ(p) as such: of the forward pass nothing but the logits is kept."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor) -> Tensor:
        ctx.save_for_backward(p, q)
        yes = F.logsigmoid(p).sub_(F.logsigmoid(q)).mul_(p.sigmoid())
        no = F.logsigmoid(-p).sub_(F.logsigmoid(-q)).mul_((-p).sigmoid())
        return yes.add_(no)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        p, q = ctx.saved_tensors
        ours = p.sigmoid()
        of_q = q.sigmoid().sub_(ours).mul_(gradient) if ctx.needs_input_grad[1] else None
        of_p = (p - q).mul_(ours).mul_((-p).sigmoid()).mul_(gradient) if ctx.needs_input_grad[0] else None
        return of_p, of_q
