"""Views that repeat, of which a share is replaced by new ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.data.repeated_views import distinct_views, view_numbers

KEYS = torch.arange(50) * 7919 + 1


def shown(count: int, refresh: float, epochs: int, seed: int = 0) -> Tensor:
    """The views of all items in each epoch, [E, B]."""
    return torch.stack([view_numbers(seed, KEYS, epoch, count, refresh) for epoch in range(epochs)])


@pytest.mark.parametrize(
    ("count", "refresh", "first"), [(4, 0.5, [0, 2, 4, 6]), (4, 0.1, [0, 0, 1, 1]), (3, 1.0, [0, 3, 6, 9])]
)
def test_each_pass_shows_a_window_that_moves_on_by_the_share(count: int, refresh: float, first: list[int]) -> None:
    numbers = shown(count, refresh, 4 * count)
    for number, oldest in enumerate(first):
        views = numbers[number * count : (number + 1) * count].sort(0).values
        assert torch.equal(views, torch.arange(oldest, oldest + count)[:, None].expand(count, len(KEYS)))


def test_without_refresh_all_passes_show_the_same_views() -> None:
    assert set(shown(4, 0.0, 40).flatten().tolist()) == {0, 1, 2, 3}


def test_new_views_come_in_all_epochs_of_a_pass() -> None:
    """The teacher is then needed at an even rate."""
    new = (shown(8, 0.25, 16) >= 8).sum(1)
    assert (new[:8] == 0).all()
    assert (new[8:] > 0).all()
    assert int(new.sum()) == 2 * len(KEYS)


def test_seeds_share_the_views_of_a_pass_in_another_order() -> None:
    ours, theirs = shown(4, 0.5, 12), shown(4, 0.5, 12, seed=1)
    assert not torch.equal(ours, theirs)
    for start in (0, 4, 8):
        assert torch.equal(ours[start : start + 4].sort(0).values, theirs[start : start + 4].sort(0).values)


@pytest.mark.parametrize("refresh", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("epochs", [1, 3, 5, 21])
def test_the_number_of_views_is_that_of_the_last_pass(refresh: float, epochs: int) -> None:
    whole = -(-epochs // 4) * 4  # epochs of complete passes
    assert distinct_views(epochs, 4, refresh) == int(shown(4, refresh, whole).max()) + 1
