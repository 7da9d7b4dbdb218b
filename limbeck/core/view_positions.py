"""Compares signals of views of different lengths: matches their positions by those that count."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import Batch, first_tensor
from limbeck.core.references import Reference
from limbeck.core.signals import LinearLogits, Signal, TopK, shape_of


def match_positions(signal: Any, batch: Batch, reference: Reference, view: str, *, check: bool = True) -> Any:
    """A signal of one view, at the positions of another.

    The i-th position that counts in `view` gets the entry of the i-th position that counts in the signal's own view. All other
    positions hold an entry that no loss uses: the first that counts. Signals without an axis of positions, `[B, D]`, are
    returned as they are, and so is every signal if both views have the same positions.

    Args:
        signal: `[B, T, …]`, `TopK` or `LinearLogits` of such shapes.
        batch: holds the positions of both views that count.
        reference: names the signal and its view.
        view: the view that it is compared in.
        check: whether an item with different numbers of positions is refused, which synchronises with the device.

    Raises:
        ValueError: an item with different numbers of positions that count; a signal whose positions are not its second axis.
    """
    own_given, other_given = batch.counted_in(reference.view), batch.counted_in(view)
    if own_given is other_given or not _has_positions(signal):
        return signal
    own, other = _positions(batch, reference.view, own_given), _positions(batch, view, other_given)
    if check:
        _check_counts(own, other, reference.view, view)
    places = _matching(own, other)
    if isinstance(signal, Tensor):
        return _at_positions(signal, places, own, reference)
    if isinstance(signal, LinearLogits):
        return LinearLogits(_at_positions(signal.hidden, places, own, reference), signal.weight, signal.bias)
    assert isinstance(signal, Signal)
    return signal.each(lambda part: _at_positions(part, places, own, reference))


def _positions(batch: Batch, view: str, counted: Tensor | None) -> Tensor:
    """The positions of a view that count, bool `[B, T]`; all if none are given."""
    if counted is not None:
        return counted.bool()
    return torch.ones(first_tensor(batch.inputs[view]).shape[:2], dtype=torch.bool, device=batch.device)


def _has_positions(signal: Any) -> bool:
    if isinstance(signal, TopK):
        return signal.tail.ndim > 1
    return len(shape_of(signal)) > 2


def _check_counts(own: Tensor, other: Tensor, name: str, view: str) -> None:
    ours, theirs = other.sum(1), own.sum(1)
    wrong = (ours != theirs).nonzero()
    if len(wrong):
        item = int(wrong[0])
        raise ValueError(
            f"item {item} of the batch has {int(ours[item])} positions that count in view {view!r} and {int(theirs[item])} in "
            f"view {name!r}; the i-th of the one is compared with the i-th of the other, so give `counted` of equal numbers"
        )


def _matching(own: Tensor, other: Tensor) -> Tensor:
    """For each position of the other view, which of the own view it is compared with, int64 `[B, T of the other]`."""
    in_order = own.to(torch.int8).argsort(dim=1, descending=True, stable=True)  # positions that count first, in their order
    number = (other.long().cumsum(1) - 1).clamp(min=0, max=own.shape[1] - 1)
    return in_order.gather(1, number * other)


def _at_positions(signal: Tensor, places: Tensor, own: Tensor, reference: Reference) -> Tensor:
    if signal.shape[:2] != own.shape or (signal.ndim == 4 and signal.shape[2] == signal.shape[3] == own.shape[1]):
        raise ValueError(
            f"the signal {reference} has shape {tuple(signal.shape)}, and view {reference.view!r} has positions of shape "
            f"{tuple(own.shape)}; views of different positions are compared by signals with one entry for each position only"
        )
    index = places.view(*places.shape, *[1] * (signal.ndim - 2)).expand(*places.shape, *signal.shape[2:])
    return signal.gather(1, index)
