"""The configuration of a cache."""

from __future__ import annotations

from limbeck.teacher_cache import CacheConfig


def test_the_number_of_views_depends_on_augmentation() -> None:
    assert CacheConfig().view_count([]) == 1
    assert CacheConfig().view_count(["horizontal_flip"]) == 8
    assert CacheConfig(views=3).view_count(["horizontal_flip"]) == 3
