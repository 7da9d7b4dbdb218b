"""Constant tensors that are kept."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.lru_cache(maxsize=64)
def constant(length: int, value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A vector of one value, which must not be changed.

    A product with it averages in one operation of the graph, where a sum and a division are two.
    """
    with torch.inference_mode(False):
        return torch.full((length,), value, dtype=dtype, device=device)
