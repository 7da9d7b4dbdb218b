"""Which items or tokens of a batch the terms of a criterion average over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.term_loss import TermLoss
from limbeck.utils import distributed

Count = Tensor | float
"""A number of items: known from a shape, or the sum of a mask, which stays on its device."""


@dataclass(frozen=True)
class CountedItems:
    """Which items or tokens of a batch each term averages over.

    Attributes:
        masks: of each term, as of `TermLoss.mask`.
        counts: of each term, how many these are.
    """

    masks: Sequence[Tensor | None]
    counts: Sequence[Count]


def count_items(losses: Sequence[TermLoss], batch: Batch) -> CountedItems:
    """Computes the mask and the number of items of each term; those that terms share, once."""
    found: dict[tuple[str | None, bool], tuple[Tensor | None, Count]] = {}
    pairs = []
    for loss in losses:
        key = loss.mask_key
        if key not in found:
            mask = loss.mask(batch)
            found[key] = mask, float(loss.shape(batch).numel()) if mask is None else mask.sum()
        pairs.append(found[key])
    return CountedItems([mask for mask, _ in pairs], [count for _, count in pairs])


def global_counts(pieces: Sequence[CountedItems], device: torch.device) -> list[Count]:
    """The numbers of items that each term averages over, of all pieces and processes; 1 at least."""
    totals: list[Count] = [sum(counts[1:], counts[0]) for counts in zip(*(piece.counts for piece in pieces), strict=True)]
    if distributed.world_size() > 1:
        totals = list(distributed.all_reduce_sum(as_tensor(totals, device)).unbind())
    return at_least_one(totals)


def at_least_one(counts: Sequence[Count]) -> list[Count]:
    """The counts, raised to 1: a mean over no items is 0."""
    return [count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1.0) for count in counts]


def as_tensor(counts: Sequence[Count], device: torch.device) -> Tensor:
    """The counts as one tensor, `[terms]`."""
    return torch.stack([torch.as_tensor(count, dtype=torch.float32, device=device) for count in counts])
