"""Principal directions of a second moment, and projections that commute with LayerNorm."""

from __future__ import annotations

import torch
from torch import Tensor


def second_moment(rows: Tensor) -> Tensor:
    """E[xxᵀ] of rows [N, D], in float64: [D, D]."""
    rows = rows.double()
    return rows.T @ rows / len(rows)


def centred(moment: Tensor) -> Tensor:
    """Second moment of x − mean(x), the first step of LayerNorm: C M C with C = I − 11ᵀ/D."""
    moment = moment - moment.mean(0, keepdim=True)
    return moment - moment.mean(1, keepdim=True)


def principal_directions(moment: Tensor, count: int) -> tuple[Tensor, float]:
    """Returns the `count` orthonormal directions [D, count] with the largest second moment, largest first, and their share.

    The projection on them is the best approximation of rank `count` (truncated singular value decomposition).
    """
    values, vectors = torch.linalg.eigh(moment)  # ascending
    kept = values[len(values) - count :].sum() / values.sum()
    return vectors[:, len(values) - count :].flip(1), float(kept)


def layernorm_projection(moment: Tensor, width: int) -> tuple[Tensor, float]:
    """Returns an orthonormal map V [D, width] that commutes with LayerNorm, and its share of the centred second moment.

    LayerNorm subtracts the mean of the coordinates, so that a rotation commutes with it only if it maps
    (1, …, 1)/√D to (1, …, 1)/√width. V does, and its other width − 1 directions are the leading ones of the centred moment:
    V = B Qᵀ + 11ᵀ/√(D·width), B [D, width − 1] those directions, Q [width, width − 1] orthonormal and orthogonal to
    1. For centred x then VᵀX is centred too, and LayerNorm(Vᵀx) = √(width/D)·(‖x‖/‖Vᵀx‖)·Vᵀ LayerNorm(x) before its weights.
    """
    moment, ones = centred(moment), torch.ones_like(moment) / len(moment)
    basis, _ = principal_directions(moment - moment.trace() * ones, width - 1)  # excludes (1, …, 1)
    kept = torch.trace(basis.T @ moment @ basis) / moment.trace()
    mean = torch.full((len(moment), width), (len(moment) * width) ** -0.5).to(moment)
    return basis @ _orthogonal_to_ones(width).to(moment).T + mean, float(kept)


def layernorm_projection_keeping(moment: Tensor, width: int, kept: Tensor) -> tuple[Tensor, float]:
    """Like `layernorm_projection`, but keeps the coordinates `kept` [K] as the first K new ones.

    V maps (1, …, 1) over the other coordinates to (1, …, 1) over the other new ones.
    """
    others = torch.ones(len(moment), dtype=torch.bool, device=moment.device)
    others[kept] = False
    projection = torch.zeros(len(moment), width, dtype=moment.dtype, device=moment.device)
    projection[kept, torch.arange(len(kept), device=moment.device)] = 1
    projection[others, len(kept) :] = layernorm_projection(moment[others][:, others], width - len(kept))[0]
    moment = centred(moment)
    return projection, float(torch.trace(projection.T @ moment @ projection) / moment.trace())


def _orthogonal_to_ones(count: int) -> Tensor:
    """Orthonormal columns [count, count − 1] with sum zero: a Householder reflection without its first column."""
    towards = torch.full((count,), count**-0.5, dtype=torch.float64)
    towards[0] -= 1
    reflection = torch.eye(count, dtype=torch.float64) - 2 * torch.outer(towards, towards) / towards.dot(towards)
    return reflection[:, 1:]
