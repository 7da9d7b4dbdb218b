"""The distance between two distributions that weighers share."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """JS(p, q) / log 2 over the last axis, from 0 (equal) to 1 (no class in common)."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    both = [(log.exp() * (log - log_m)).sum(-1) for log in (log_p, log_q)]
    return ((both[0] + both[1]) / (2 * math.log(2))).clamp(0, 1)
