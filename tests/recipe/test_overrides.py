"""`--set path=value`."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.recipe import Recipe, RecipeError, apply_override
from tests import tiny


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"train": "digits"}, "data.train.path=x.parquet", {"path": "x.parquet"}),
        ({"train": "x.parquet"}, "data.train.limit=5", {"path": "x.parquet", "limit": 5}),
        ({"train": {"path": "digits"}}, "data.train.path=other", {"path": "other"}),
        ({}, "data.train.path=digits", {"path": "digits"}),
    ],
)
def test_set_reaches_into_the_short_form_of_data(before: dict[str, Any], change: str, after: dict[str, Any]) -> None:
    fields = {"data": before}
    apply_override(fields, change)
    assert fields["data"]["train"] == after


def test_set_reaches_into_lists_and_short_names() -> None:
    fields = tiny.content("training.views=[horizontal_flip, random_crop]")
    for change in ("training.views.1.random_crop.padding=2", "terms.1.soft_targets.weight=0.5", "seeds.0=7"):
        apply_override(fields, change)
    recipe = Recipe.from_dict(fields)
    assert recipe.training.views == [{"horizontal_flip": {}}, {"random_crop": {"padding": 2}}]
    assert recipe.terms[1].weight == 0.5
    assert recipe.seeds == [7]


def test_set_finds_keys_that_hold_dots() -> None:
    fields: dict[str, Any] = {"actors": {"teachers.a": {"model": "tiny_cnn"}, "teachers": {"a": 1}}}
    for change in ("actors.teachers.a.training.epochs=2", "actors.teachers.a.model=mlp", "actors.teachers.b=3"):
        apply_override(fields, change)
    assert fields["actors"] == {"teachers.a": {"model": "mlp", "training": {"epochs": 2}}, "teachers": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.epochs", "expected path=value"),
        ("training..epochs=3", "expected path=value"),
        ("terms.5.x=2", "'5' is no position in a list of 2"),
        ("name.x.y=2", "'x' lies within 'tiny', which has no fields"),
        ("seeds=[", "the value does not read as YAML"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny.content(change)
