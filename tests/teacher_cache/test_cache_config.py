"""The configuration of a cache."""

from __future__ import annotations

import pytest

from limbeck.teacher_cache import CacheConfig


def test_the_number_of_views_depends_on_augmentation() -> None:
    assert CacheConfig().view_count([]) == 1
    assert CacheConfig().view_count(["horizontal_flip"]) == 16
    assert CacheConfig(views=3).view_count(["horizontal_flip"]) == 3


@pytest.mark.parametrize("refresh", [-0.1, 1.5, float("nan")])
def test_refresh_is_a_share(refresh: float) -> None:
    with pytest.raises(ValueError, match=r"refresh=.*from 0 to 1"):
        CacheConfig(refresh=refresh)
