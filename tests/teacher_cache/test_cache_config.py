"""The configuration of a cache."""

from __future__ import annotations

import re
from typing import Any

import pytest

from limbeck.recipe.schema.cache import CacheSpec
from limbeck.teacher_cache import CacheConfig


def test_the_number_of_views_depends_on_augmentation() -> None:
    assert CacheConfig().view_count([]) == 1
    assert CacheConfig().view_count(["horizontal_flip"]) == 16
    assert CacheConfig(views=3).view_count(["horizontal_flip"]) == 3


@pytest.mark.parametrize("refresh", [-0.1, 1.5, float("nan")])
def test_refresh_is_a_share(refresh: float) -> None:
    with pytest.raises(ValueError, match=r"refresh=.*from 0 to 1"):
        CacheConfig(refresh=refresh)


WRONG_OPTIONS = [
    ({"kk": 4}, "k is missing; give it, such as {k: 16}"),
    ({"k": 16, "valuez": "steps"}, "unexpected keyword argument 'valuez'; nearest: values"),
    ({"k": 16, "values": "foo"}, "values='foo': expected 'steps' or 'fp16' or 'fp32'"),
    ({"k": 0}, "k: expected 1 to 4,096"),
    ({"k": "a"}, "k='a': expected int"),
    ({"k": 16, "classes": 5}, "classes are those of the teacher; leave them out"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_options_of_the_largest_logits_are_refused_before_a_teacher_is_there(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"logits=.*{re.escape(message)}"):
        CacheConfig(logits=options)
    with pytest.raises(ValueError, match=rf"logits\n.*{re.escape(message)}"):
        CacheSpec.model_validate({"logits": options})
