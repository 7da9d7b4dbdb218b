"""Labels that hold what the teacher computed beforehand: embeddings, scores or margins."""

from __future__ import annotations

import torch
from torch import Tensor


def as_embeddings(labels: Tensor, columns: int, width: int, *, shared: bool) -> list[Tensor]:
    """Returns the embedding of each column, [B, D] each.

    Args:
        labels: [B, D] for all columns, or [B, columns, D].
        columns: the number of columns of texts.
        width: D.
        shared: whether labels [B, D] are accepted.

    Raises:
        ValueError: another shape.
    """
    if labels.ndim == 2 and shared:
        embeddings = [labels] * columns
    elif labels.ndim == 3 and labels.shape[1] == columns:
        embeddings = list(labels.unbind(1))
    else:
        raise ValueError(
            f"labels: shape {tuple(labels.shape)} does not fit {columns} columns of texts; embeddings are [batch, columns, "
            "width], or [batch, width] if all columns have the same one and no term compares scores"
        )
    if labels.shape[-1] != width:
        raise ValueError(f"labels: embeddings of width {labels.shape[-1]}; pass width={labels.shape[-1]}")
    return embeddings


def as_scores(labels: Tensor, columns: int) -> Tensor:
    """Returns scores [B, columns − 1]; margins [B, columns − 2] become scores whose positive has 0.

    Raises:
        ValueError: another shape.
    """
    rows = labels[:, None] if labels.ndim == 1 else labels
    if rows.shape[1] == columns - 1:
        return rows
    if rows.shape[1] == columns - 2:
        return torch.cat([torch.zeros_like(rows[:, :1]), -rows], 1)
    raise ValueError(
        f"labels: shape {tuple(labels.shape)} does not fit a query and {columns - 1} passages; scores are "
        f"[batch, {columns - 1}], margins [batch, {columns - 2}]"
    )
