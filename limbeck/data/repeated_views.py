"""Which views of an item the epochs show if views repeat: a few in turn, of which a share may be replaced by new ones."""

from __future__ import annotations

import math

from torch import Tensor

from limbeck.data import keyed_random


def view_numbers(seed: int, keys: Tensor, epoch: int, count: int, refresh: float) -> Tensor:
    """Returns the view of each item in an epoch, int64 `[B]`.

    A pass of `count` epochs shows each item `count` views once, in an order drawn for that item. The next pass leaves out the
    oldest and takes as many new ones: `refresh · count`, rounded so that the share holds over all passes. All items and all
    seeds see the same views in a pass, so that runs share the outputs of a teacher.

    Args:
        seed: of the order.
        keys: of the items, int64 `[B]`.
        refresh: share of new views in each pass but the first, in [0, 1]. A view is shown in about 1 / refresh passes.
    """
    number, turn = divmod(epoch, count)
    order = keyed_random.permutations(seed, keys, number, "views", count)[:, turn]
    return order + _first_view(number, count, refresh)


def distinct_views(epochs: int, count: int, refresh: float) -> int:
    """Returns how many views of each item this many epochs have to choose from."""
    return count + _first_view((max(epochs, 1) - 1) // count, count, refresh)


def _first_view(number: int, count: int, refresh: float) -> int:
    """The oldest view of a pass; the others follow it."""
    return math.floor(number * refresh * count + 0.5)
