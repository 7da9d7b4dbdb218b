"""Groups of items with similar scores, so that a bootstrap over many distinct items draws groups instead of items."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from limbeck.metrics import Floats

GROUPS = 512


class SimilarItems(NamedTuple):
    """Groups of items: the mean scores of each `[rows, groups]`, the number of its items, and how items differ within groups.

    `spread` [rows, rows] times standard normal numbers is what a draw of as many items as there are adds to the sums of scores.
    """

    means: Floats
    counts: Floats
    spread: Floats


def similar_items(columns: Floats, counts: Floats, groups: int = GROUPS) -> SimilarItems:
    """Groups items that are neighbours along the direction in which their scores differ most.

    The sum of a bootstrap resample is the sum over groups of how often each is drawn, which stays a multinomial count, times
    its mean, and of deviations within groups. The latter are a small part, summed over thousands of draws: a normal variable
    with their covariance stands for it. Mean and covariance of the sums stay exact.

    Args:
        columns: scores of each distinct item, `[rows, items]`; rows are arms, seeds and parts of the metric. They are centred
            in place: for hundreds of arms they are the largest array by far.
        counts: how many items have these scores.
    """
    items = counts.sum()
    mean = columns @ counts / items
    centred = np.subtract(columns, mean[:, None], out=columns)
    products = _weighted(centred, counts) @ centred.T
    scale = np.sqrt(np.maximum(products.diagonal(), 0) / items)
    scale = np.where(scale > 0, scale, 1.0)
    _, directions = np.linalg.eigh(products / np.outer(scale, scale))
    order = np.argsort((directions[:, -1] / scale) @ centred, kind="stable")
    counts, centred = counts[order], centred[:, order]
    starts = np.unique(np.searchsorted(np.cumsum(counts), np.linspace(0, items, groups, endpoint=False), side="right"))
    sizes = np.add.reduceat(counts, starts)
    means = np.add.reduceat(_weighted(centred, counts), starts, axis=1) / sizes
    for group, (start, end) in enumerate(pairwise([*starts, len(counts)])):
        centred[:, start:end] -= means[:, group, None]  # what is left within the groups
    values, vectors = np.linalg.eigh(_weighted(centred, counts) @ centred.T)
    return SimilarItems(means + mean[:, None], sizes, vectors * np.sqrt(np.maximum(values, 0)))


def _weighted(columns: Floats, counts: Floats) -> Floats:
    """Columns times their counts; without a copy of many rows if all are 1."""
    return columns if bool((counts == 1).all()) else columns * counts
