"""Which items or tokens of a batch the terms of a criterion average over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.core.batch import Batch, first_tensor
from limbeck.core.errors import TermError
from limbeck.core.labels import all_labelled, label_mask
from limbeck.core.term_loss import TermLoss
from limbeck.utils import distributed

Count = Tensor | float
"""A number of items: known from a shape, or the sum of a mask, which stays on its device."""


@dataclass(frozen=True)
class CountedItems:
    """Which items or tokens of a batch each term averages over.

    Attributes:
        masks: of each term, 1 where an item or token counts; None: all count.
        counts: of each term, how many these are.
    """

    masks: Sequence[Tensor | None]
    counts: Sequence[Count]


def count_items(losses: Sequence[TermLoss], batch: Batch) -> CountedItems:
    """Computes the mask and the number of items of each term; those that terms share, once."""
    found: dict[tuple[str | None, bool], tuple[Tensor | None, Count]] = {}
    masks: list[Tensor | None] = []
    counts: list[Count] = []
    for loss in losses:
        key = loss.view if loss.per_token else None, loss.term.objective.needs_target
        if key not in found:
            shape = _shape(loss, batch)
            mask = mask_of(loss, batch, shape)
            found[key] = mask, float(shape.numel()) if mask is None else mask.sum()
        mask, count = found[key]
        masks.append(mask)
        counts.append(count)
    return CountedItems(masks, counts)


def mask_of(loss: TermLoss, batch: Batch, shape: torch.Size) -> Tensor | None:
    """1 where an item or token counts: positions of the student's view that count if the loss is per token, labelled ones if
    labels are needed. None: all count.

    Args:
        shape: of the losses.
    """
    counted = batch.counted_in(loss.view) if loss.per_token else None
    mask = None if counted is None else counted.to(torch.float32)
    target = batch.target
    if not loss.term.objective.needs_target or target is None:
        return mask
    if isinstance(target, Tensor) and target.shape == shape and _can_be_left_out(target) and all_labelled(target):
        return mask
    labels = label_mask(target, per_item=not loss.per_token)
    if labels.shape != shape:
        raise TermError(
            f"term {loss.term.name!r}: the labels are of shape {tuple(labels.shape)}, and view {loss.view!r} has "
            f"positions of shape {tuple(shape)}; name the view of the labels as the student's"
        )
    return labels if mask is None else mask * labels


def _can_be_left_out(labels: Tensor) -> bool:
    """Whether a mask of ones may be none: to look waits for an accelerator, and processes gather the masks of all."""
    return labels.is_cpu and distributed.world_size() == 1


def _shape(loss: TermLoss, batch: Batch) -> torch.Size:
    """The shape of the losses of a batch: `[batch]`, or `[batch, tokens]` of the student's view."""
    counted = batch.counted_in(loss.view) if loss.per_token else None
    first = first_tensor(batch.inputs.get(loss.view, batch.inputs)) if counted is None else counted
    return first.shape[: 2 if loss.per_token else 1]


def global_counts(pieces: Sequence[CountedItems], device: torch.device) -> list[Count]:
    """The numbers of items that each term averages over, of all pieces and processes; 1 at least."""
    totals: list[Count] = list(pieces[0].counts)
    for piece in pieces[1:]:
        totals = [total + count for total, count in zip(totals, piece.counts, strict=True)]
    if distributed.world_size() > 1:
        totals = list(distributed.all_reduce_sum(as_tensor(totals, device)).unbind())
    return at_least_one(totals)


def at_least_one(counts: Sequence[Count]) -> list[Count]:
    """The counts, raised to 1: a mean over no items is 0."""
    return [count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1.0) for count in counts]


def as_tensor(counts: Sequence[Count], device: torch.device) -> Tensor:
    """The counts as one tensor, `[terms]`."""
    return torch.stack([torch.as_tensor(count, dtype=torch.float32, device=device) for count in counts])
