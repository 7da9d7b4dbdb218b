"""Differences of signals that nearly agree, as they do at the end of a training, with all the digits that they have.

The textbook forms 1 − cos and log p − log q subtract two numbers of size 1: float32 leaves rounding, and little else, where the
result is small.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.objectives.arithmetic import l2_normalize


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
