"""The nearest neighbours of embeddings by cosine, and what is told from them."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 10
ELEMENTS = 1 << 24  # cosines that are held at once
NEARER = 1e-3  # by how much more, at most, a nearer neighbour's vote counts: ties go to the nearer ones


def nearest(embeddings: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """The k nearest other items of each, the nearest first: [items, D] → rows [items, k], k no more than there are others.

    A zero vector has cosine 0 with everything.
    """
    vectors = torch.nn.functional.normalize(embeddings.float(), dim=1)
    count = len(vectors)
    found = []
    for rows in torch.split(torch.arange(count), max(1, ELEMENTS // count)):
        cosines = vectors[rows] @ vectors.T
        cosines[torch.arange(len(rows)), rows] = -torch.inf
        found.append(cosines.topk(min(k, count - 1), dim=1).indices)
    return torch.cat(found)


def shared(ours: Tensor, theirs: Tensor) -> Tensor:
    """Which share of each item's neighbours `theirs` [items, k] is among `ours`, float64 [items]."""
    return (ours[:, :, None] == theirs[:, None, :]).any(1).double().mean(1)


def votes(neighbours: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How many neighbours [items, k] of each class there are, float32 [items, classes]; of equal counts the one of nearer
    neighbours is a little larger.
    """
    k = neighbours.shape[1]
    weight = 1 + NEARER * (1 - torch.arange(k) / k) / k
    counts = torch.zeros(len(neighbours), classes)
    return counts.scatter_add_(1, labels[neighbours], weight.expand(len(neighbours), k))
