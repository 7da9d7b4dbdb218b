"""The order of the items of an epoch, keyed by (seed, epoch); optionally with items of similar length in one batch."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.data import keyed_random

MAX_SORTED_BATCHES = 50  # batches whose items are sorted by length together
MIN_WINDOWS = 4  # sorted windows of an epoch, at least: in a small data set items would otherwise always meet the same others


def epoch_order(seed: int, epoch: int, count: int, batch_size: int, batches: int, lengths: Tensor | None = None) -> Tensor:
    """Rows of all batches of an epoch, one batch after the other.

    Without `lengths` this is a random permutation of `count` rows. What is left over at its end is dropped; if the batches
    need more rows, the permutation starts again.

    With `lengths` the same rows are grouped differently: the items of every 50 batches (of a quarter of the epoch if that is
    less) are sorted by length and cut into batches again, and all batches are then shuffled.

    Args:
        count: items in the data set.
        batch_size: items in a batch.
        batches: batches in the epoch.
        lengths: length of each item, int64 `[count]`.

    Returns:
        int64 `[batches · batch_size]`.
    """
    order = keyed_random.epoch_permutation(seed, epoch, count)[torch.arange(batches * batch_size) % count]
    if lengths is None:
        return order
    window = min(MAX_SORTED_BATCHES, max(1, batches // MIN_WINDOWS)) * batch_size
    sorted_windows = [rows[torch.argsort(lengths[rows], stable=True)] for rows in torch.split(order, window)]
    grouped = torch.cat(sorted_windows).view(batches, batch_size)
    shuffle = keyed_random.permutations(seed, torch.zeros(1, dtype=torch.int64), epoch, "batches", batches)[0]
    return grouped[shuffle].flatten()
