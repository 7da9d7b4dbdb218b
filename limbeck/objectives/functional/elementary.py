"""Small numerically safe pieces that several objectives are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p‖q) over the last axis, from logarithms."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def softened_log_probs(logits: Tensor, temperature: float) -> Tensor:
    """log softmax(logits / temperature) over the last axis."""
    return F.log_softmax(logits / temperature, dim=-1)


def l2_normalize(x: Tensor, dim: int = -1) -> Tensor:
    """x / ‖x‖₂ along `dim`; zero vectors stay zero and pass a finite gradient."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)


def standardize(x: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """(x − mean) / σ along `dim`, σ the population deviation; what is constant becomes zero, with a finite gradient."""
    mean = x.mean(dim, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(dim, keepdim=True)
    rounding = (8 * torch.finfo(x.dtype).eps * mean.detach()).square()  # a constant's mean may be off by a few ulps
    return centred / torch.where(variance > rounding, variance, 1.0).sqrt()


def pearson(x: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """Pearson correlation along `dim`; zero where either side is constant."""
    return (standardize(_scaled(x, dim), dim) * standardize(_scaled(y, dim), dim)).mean(dim)


def _scaled(x: Tensor, dim: int) -> Tensor:
    """x over its largest value, which a correlation does not see, so that squares of tiny probabilities do not vanish."""
    largest = x.detach().abs().amax(dim, keepdim=True)
    return x / torch.where(largest > 0, largest, 1.0)


def huber(difference: Tensor) -> Tensor:
    """½x² where abs(x) ≤ 1, abs(x) − ½ beyond."""
    return F.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=1.0)


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 − cos(x, y) over the last axis, as ½‖x/‖x‖ − y/‖y‖‖²; the cosine with a zero vector counts as 0."""
    zeros = sum((~side.detach().any(-1)).to(side.dtype) for side in (x, y))  # each takes ½ from the square
    return (l2_normalize(x) - l2_normalize(y)).square().sum(-1).add(zeros) / 2


def log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """log p − log q of positive numbers, as ±log(1 + abs(p − q)/min(p, q)).

    Without autograd: the gradient of the quotient may overflow where the quotient does not.
    """
    difference = p - q
    return difference.abs().div_(torch.minimum(p, q)).log1p_().copysign_(difference)
