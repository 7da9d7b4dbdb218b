"""Nearest neighbours of embeddings by cosine, their overlap and their votes."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 10
ELEMENTS = 1 << 24  # cosines in memory at once
NEARER = 1e-3  # maximal extra weight of a nearer neighbour's vote, which breaks ties


def nearest_neighbours(embeddings: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Rows of the k nearest other items of each item, nearest first: [items, D] → [items, min(k, items − 1)].

    A zero vector has cosine 0 with all others.
    """
    vectors = torch.nn.functional.normalize(embeddings.float(), dim=1)
    count = len(vectors)
    found = []
    for rows in torch.split(torch.arange(count), max(1, ELEMENTS // count)):
        cosines = vectors[rows] @ vectors.T
        cosines[torch.arange(len(rows)), rows] = -torch.inf
        found.append(cosines.topk(min(k, count - 1), dim=1).indices)
    return torch.cat(found)


def neighbour_overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """The share of the neighbours `theirs` [items, k] of each item that is among `ours`, float64 [items]."""
    return (ours[:, :, None] == theirs[:, None, :]).any(1).double().mean(1)


def neighbour_votes(neighbours: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The number of neighbours [items, k] of each class, float32 [items, classes].

    Nearer neighbours count a little more, so that of equal counts the nearer class is larger.
    """
    k = neighbours.shape[1]
    weight = 1 + NEARER * (1 - torch.arange(k) / k) / k
    counts = torch.zeros(len(neighbours), classes)
    return counts.scatter_add_(1, labels[neighbours], weight.expand(len(neighbours), k))
