"""Euclidean distances between all pairs of rows."""

from __future__ import annotations

import torch
from torch import Tensor

# |x_i − x_j|² = |x_i|² + |x_j|² − 2⟨x_i, x_j⟩ loses digits where it is much smaller than its parts. For each precision the
# smallest share of them at which the error of a distance stays below about 1e-6 of it.
LEAST = ((torch.float32, 0.05), (torch.float64, 1e-9))


def pairwise_distances(x: Tensor) -> Tensor:
    """Distances [N, N] of rows [N, D]; the gradient at distance 0 is 0.

    By one matrix product of the centred rows, in double precision where rows are near each other, and from the differences
    themselves where they are nearly or exactly the same. On other devices than the CPU always from the differences, since the
    choice would wait for the device.
    """
    if x.device.type == "cpu":
        for dtype, least in LEAST:
            if dtype.itemsize >= x.dtype.itemsize and (found := _by_product(x.to(dtype), least)) is not None:
                return found.to(x.dtype)
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _by_product(x: Tensor, least: float) -> Tensor | None:
    """None if the distance of two rows, squared, is smaller than the share `least` of what it is the difference of."""
    centred = x - x.mean(0).detach()  # distances do not change, so the gradient need not know
    squares = centred.square().sum(1)
    parts = squares[:, None] + squares
    itself = torch.eye(len(x), dtype=torch.bool)
    squared = torch.addmm(parts, centred, centred.T, alpha=-2)
    if not bool(((squared > least * parts) | itself).all()):  # a NaN counts as near, and is left to the differences
        return None
    return squared.masked_fill(itself, 1).sqrt().masked_fill(itself, 0)
