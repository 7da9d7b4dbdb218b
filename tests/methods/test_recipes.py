"""The recipes of peers and of self-distillation run as they are, on small data for a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import methods
from limbeck.recipe import Recipe, built_in_recipes, read_yaml
from limbeck.runs import run_recipe

ROOMS = ("online", "self_distillation")
NAMES = [name for name in methods.registry.names() if methods.paradigm(name) in ROOMS]


def small(name: str) -> dict[str, Any]:
    """The recipe with digits in place of its data, in float32, for a few steps."""
    content: dict[str, Any] = read_yaml(built_in_recipes()[name].read_text())
    content["data"] |= {"train": {"path": "digits", "split": "train", "limit": 160}, "labels": 40}
    content["data"]["test"] = {"path": "digits", "split": "test", "limit": 40}
    content["training"] |= {"steps": 3, "batch_size": 16, "precision": "float32", "trackers": [], "validate_every": 1}
    del content["training"]["epochs"]
    return content | {"seeds": [0]}


@pytest.mark.parametrize("name", NAMES)
def test_each_method_has_a_recipe_that_runs(name: str, tmp_path: Path) -> None:
    recipe = Recipe.from_dict(small(name), name)
    assert recipe.method is not None
    assert list(recipe.method) == [name]
    verdict = run_recipe(recipe, tmp_path / "run", progress=False)
    trained = [result for result in verdict.results.values() if result.distilled is not None]
    assert all((result.control is not None) is recipe.control for result in trained)
    assert set(recipe.controls) <= set(verdict.result.controls)
