"""Ranks of what queries look for, among all items."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ELEMENTS = 1 << 24  # cosines in memory at once


def ranks_of_items(queries: Tensor, items: Tensor, keys: Tensor) -> Tensor:
    """How many wrong items are found before the first right one, by cosine: queries and items [N, D] → int64 [N].

    Query i looks for item i, and for all items whose query has the same key. Of equal cosines the wrong item comes first, so
    that a model which gives all items one embedding finds nothing.

    Args:
        keys: int64 [N], of the queries.
    """
    q, x = (F.normalize(side.float(), dim=1) for side in (queries, items))
    found = []
    for rows in torch.split(torch.arange(len(q)), max(1, ELEMENTS // len(q))):
        cosines = q[rows] @ x.T
        right = keys[rows, None] == keys[None]
        best = cosines.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        found.append(((cosines >= best) & ~right).sum(1))
    return torch.cat(found)
