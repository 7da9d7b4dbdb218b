"""Reproducible subsets. Items are chosen by their keys, so the choice does not depend on the order of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.core.labels import UNLABELLED
from limbeck.data import keyed_random


def stratified_split(keys: Tensor, strata: Tensor, fraction: float, seed: int = 0) -> Tensor:
    """Chooses `fraction` of each stratum. Identical items of a stratum stay together.

    Args:
        keys: int64 `[N]`.
        strata: group of each item, int64 `[N]`, -100 or more.

    Returns:
        Which items are chosen, bool `[N]`.
    """
    chosen = torch.zeros(len(keys), dtype=torch.bool)
    hashes = keyed_random.hashes(seed, keys, "split")
    before = 0
    for rows in _by_stratum(keys, strata, torch.arange(len(keys)), seed, "split"):
        # shares are rounded on the running total, so that many small strata add up to the right fraction
        count = round((before + len(rows)) * fraction) - round(before * fraction)
        before += len(rows)
        if count:
            chosen[rows[hashes[rows] <= hashes[rows[count - 1]]]] = True
    return chosen


def two_parts(keys: Tensor, strata: Tensor, fraction: float, seed: int = 0) -> Tensor:
    """`stratified_split` into two parts that both have items; raises a ValueError if the fraction does not give that."""
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction}: expected a number between 0 and 1")
    chosen = stratified_split(keys, strata, fraction, seed)
    require_two_parts(chosen, fraction, "items", keys)
    return chosen


def require_two_parts(chosen: Tensor, fraction: float, unit: str, keys: Tensor) -> None:
    """Raises a `ValueError` if a share of some units has none of them, or all.

    Args:
        chosen: which of them the share has, bool `[N]`.
        unit: what they are called.
        keys: of the units; those of one key stay together.
    """
    count = int(chosen.sum())
    if not 0 < count < len(chosen):
        different = len(set(keys.tolist()))
        together = "" if different == len(chosen) else f" (identical ones stay together, and {different} are different)"
        raise ValueError(
            f"a share of {fraction:g} of {len(chosen)} {unit} is {count} of them{together}, and both parts need some; choose "
            "another share, or name a data set of its own"
        )


def balanced_subset(keys: Tensor, strata: Tensor, rows: Tensor, count: int, seed: int = 0) -> Tensor:
    """Chooses `count` of `rows`, as evenly over the strata as possible.

    A larger subset of the same seed contains a smaller one.
    """
    rank = torch.empty(len(keys), dtype=torch.int64)
    for group in _by_stratum(keys, strata, rows, seed, "labels"):
        rank[group] = torch.arange(len(group))
    # the first item of every stratum, then the second of every stratum, …: the others replace a stratum that runs out
    order = _sort_by(rank[rows], keyed_random.hashes(seed, strata[rows], "classes"))
    return rows[order[:count]]


def _by_stratum(keys: Tensor, strata: Tensor, rows: Tensor, seed: int, stream: str) -> list[Tensor]:
    """The rows of each stratum, sorted by the hashes of their keys."""
    order = rows[_sort_by(strata[rows], keyed_random.hashes(seed, keys[rows], stream))]
    counts = torch.bincount(strata[rows] - UNLABELLED)
    return list(torch.split(order, counts[counts > 0].tolist()))


def _sort_by(first: Tensor, second: Tensor) -> Tensor:
    """The order that sorts by `first`, then by `second`, then by row."""
    order = torch.argsort(second, stable=True)
    return order[torch.argsort(first[order], stable=True)]
