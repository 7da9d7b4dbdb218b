"""Elementary functions of objectives, numerically stable at zero vectors, constant rows and near equality.

The textbook forms 1 − cos and log p − log q subtract two numbers of size 1, which in float32 leaves little but rounding where
student and teacher nearly agree.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.utils.constants import constant

SHORT = 64  # up to this length an axis is averaged by a product


def softened_log_probs(logits: Tensor, temperature: float) -> Tensor:
    """log softmax(logits / temperature) over the last axis."""
    return F.log_softmax(logits / temperature, dim=-1)


def l2_normalize(x: Tensor, dim: int = -1) -> Tensor:
    """x / ‖x‖₂ along `dim`; zero vectors remain zero, with a finite gradient."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)


def standardize(x: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """(x − mean) / σ along `dim`, σ the population deviation; constant rows become zero, with a finite gradient."""
    mean = x.mean(dim, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(dim, keepdim=True)
    rounding = (8 * torch.finfo(x.dtype).eps * mean.detach()).square()  # the mean of a constant may be off by a few ulps
    return centred / torch.where(variance > rounding, variance, 1.0).sqrt()


def pearson(x: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """Pearson's correlation along `dim`; zero if either side is constant."""
    return (standardize(_scaled(x, dim), dim) * standardize(_scaled(y, dim), dim)).mean(dim)


def _scaled(x: Tensor, dim: int) -> Tensor:
    """x divided by its largest absolute value, so that squares of tiny probabilities do not underflow."""
    largest = x.detach().abs().amax(dim, keepdim=True)
    return x / torch.where(largest > 0, largest, 1.0)


def huber(difference: Tensor) -> Tensor:
    """Huber loss with δ = 1: ½x² if abs(x) ≤ 1, else abs(x) − ½."""
    return F.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=1.0)


def mean_squared_difference(x: Tensor, y: Tensor, first: int = 1) -> Tensor:
    """The mean of (x − y)² over the axes from `first` on; neither the difference nor the gradient of a mean is in memory."""
    squares: Tensor = F.mse_loss(x, y, reduction="none")
    return last_mean(squares.flatten(first) if squares.ndim > first + 1 else squares)


def last_mean(values: Tensor) -> Tensor:
    """The mean over the last axis, without a gradient of the size of the values in memory unless that axis is short."""
    length = values.shape[-1]
    if values.ndim == 2 and length <= SHORT:
        return torch.mv(values, constant(length, 1 / length, values.dtype, values.device))
    means: Tensor = values.sum(-1) / length
    return means


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 − cos(x, y) over the last axis, as ½‖x/‖x‖ − y/‖y‖‖²; the cosine with a zero vector counts as 0."""
    norms = [torch.linalg.vector_norm(side, dim=-1, keepdim=True) for side in (x, y)]
    ours, theirs = (side / torch.where(norm > 0, norm, 1.0) for side, norm in zip((x, y), norms, strict=True))
    zeros = sum((norm == 0).to(x.dtype) for norm in norms)  # each would contribute ½ too little
    squares = F.mse_loss(ours, theirs, reduction="none").sum(-1)
    distances: Tensor = (squares + zeros[..., 0]) / 2
    return distances


def log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """log p − log q of positive numbers, as ±log(1 + abs(p − q)/min(p, q)).

    Not for autograd: the gradient of the quotient may overflow where the quotient does not.
    """
    difference = p - q
    return difference.abs().div_(torch.minimum(p, q)).log1p_().copysign_(difference)


def item_mean(values: Tensor) -> Tensor:
    """The mean over all elements of an item: [B, ...] → [B]."""
    return last_mean(values.flatten(1))


def per_channel(values: Tensor, features: Tensor) -> Tensor:
    """One value for each channel, broadcastable to features with channels in axis 1."""
    return values.view(1, -1, *[1] * (features.ndim - 2))
