"""Comparisons: variants that differ in their terms only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.recipe import Comparison, Recipe, RecipeError
from tests import tiny


def test_a_comparison_is_no_single_recipe() -> None:
    with pytest.raises(RecipeError, match="limbeck compare RECIPE"):
        Recipe.from_dict({**tiny.content(), "variants": {"soft": ["soft_targets"]}})


def comparison(**variants: Any) -> Comparison:
    fields = {key: value for key, value in tiny.content().items() if key != "terms"}
    return Comparison.from_dict({**fields, "variants": variants})


def test_the_control_is_added_and_each_variant_is_a_recipe(tmp_path: Path) -> None:
    found = comparison(soft=["hard_targets", "soft_targets"])
    assert list(found.variants) == ["control", "soft"]
    soft = found.variant("soft")
    assert (soft.name, soft.control) == ("soft", False)
    assert [term.objective for term in soft.terms] == ["hard_targets", "soft_targets"]
    assert soft.data == found.data
    assert soft.teacher == found.teacher
    (tmp_path / "model.safetensors").touch()
    trained = found.variant("control", weights=str(tmp_path / "model.safetensors"))
    assert (trained.teacher.weights, trained.teacher.training) == (str(tmp_path / "model.safetensors"), None)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"soft": []}, "variant 'soft' has no terms"),
        ({"a/b": ["soft_targets"]}, "variant 'a/b': choose another name"),
        ({"teacher": ["soft_targets"]}, "variant 'teacher': choose another name"),
    ],
)
def test_a_variant_needs_terms_and_a_name_for_its_folder(variants: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        comparison(**variants)
