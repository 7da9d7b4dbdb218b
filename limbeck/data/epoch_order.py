"""The order in which an epoch shows items: keyed by (seed, epoch), and if wanted with items of like length side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.data import keyed_random

MOST = 50  # batches that are sorted together
LEAST_PARTS = 4  # of an epoch, so that few data do not stand beside the same neighbours in every epoch


def epoch_order(seed: int, epoch: int, count: int, size: int, steps: int, lengths: Tensor | None = None) -> Tensor:
    """The rows of `steps` batches of `size`, one after the other: int64 `[steps · size]`.

    A permutation of `count` rows, what is left over at its end dropped, or begun again from its start where the steps need
    more. With `lengths` the same rows are put into batches otherwise: of every 50 batches (fewer where the epoch has fewer
    than 200) the items are sorted by length and cut into batches anew, and all batches come in a keyed order again.
    """
    order = keyed_random.epoch_permutation(seed, epoch, count)[torch.arange(steps * size) % count]
    if lengths is None:
        return order
    together = min(MOST, max(1, steps // LEAST_PARTS)) * size
    sorted_parts = [part[torch.argsort(lengths[part], stable=True)] for part in torch.split(order, together)]
    batches = torch.cat(sorted_parts).view(steps, size)
    return batches[keyed_random.permutations(seed, torch.zeros(1, dtype=torch.int64), epoch, "batches", steps)[0]].flatten()
