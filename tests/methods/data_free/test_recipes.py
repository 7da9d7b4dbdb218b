"""The recipes without data run as they are, for a few steps; the methods' own settings are reduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import models
from limbeck.recipe import Recipe, RecipeError, built_in_recipes, read_yaml
from limbeck.runs import run_recipe
from tests.methods.data_free.test_no_data import QUICK


def small(name: str) -> dict[str, Any]:
    """The recipe with a teacher that is hardly trained, for a few steps."""
    content: dict[str, Any] = read_yaml(built_in_recipes()[name].read_text())
    for part, count in (("train", 64), ("test", 40)):
        content["data"][part]["limit"] = count
    content["teacher"]["training"] = {"steps": 3, "batch_size": 16, "threads": 1}
    content["training"] |= {"steps": 3, "batch_size": 8, "trackers": []}
    content["method"][name] |= {"batch_size": 8, **QUICK[name]}
    return content | {"seeds": [0]}


@pytest.mark.parametrize("name", QUICK)
def test_each_method_has_a_recipe_that_runs(name: str, tmp_path: Path) -> None:
    verdict = run_recipe(Recipe.from_dict(small(name), name), tmp_path / "run", progress=False)
    assert verdict.result.control is not None  # the same student on real data
    assert set(verdict.result.controls) == {"gaussian", "uniform"}
    assert all(made.nearest is not None for made in verdict.made_inputs)
    assert verdict.made_inputs
    assert verdict.without_data
    assert verdict.told(verdict.result)[0] in ("gaussian", "uniform")  # type: ignore[index]
    assert "made without data" in (page := (tmp_path / "run" / "report.html").read_text())
    assert "<dt>over the control</dt>" not in page
    assert "labels on data that the student has not seen" in page
    assert all(gain.ci95[0] <= gain.value <= gain.ci95[1] for gain in verdict.result.gains.values())


def test_a_recipe_without_training_data_runs_with_the_weights_of_a_teacher(tmp_path: Path) -> None:
    content = small("dfad")
    models.save_weights(models.get("tiny_cnn", width=16, size=8), tmp_path / "teacher.safetensors")
    content["teacher"] = {
        "model": "tiny_cnn",
        "args": {"width": 16, "size": 8},
        "weights": str(tmp_path / "teacher.safetensors"),
    }
    del content["data"]["train"]
    with pytest.raises(RecipeError, match="control: false"):
        Recipe.from_dict(content, "dfad")
    verdict = run_recipe(Recipe.from_dict(content | {"control": False}, "dfad"), tmp_path / "run", progress=False)
    assert verdict.result.control is None
    assert set(verdict.result.controls) == {"gaussian", "uniform"}


def test_epochs_of_made_inputs_are_refused() -> None:
    content = small("dfad")
    del content["training"]["steps"]
    content["training"]["epochs"] = 2
    with pytest.raises(RecipeError, match="give steps instead"):
        Recipe.from_dict(content, "dfad")


def test_a_generator_of_the_users_own_takes_the_place_of_that_of_the_method() -> None:
    content = small("dfad")
    content["actors"] = {"generator": {"model": "dcgan", "args": {"shape": [1, 8, 8], "latent": 100, "width": 5}}}
    recipe = Recipe.from_dict(content, "dfad")
    items = recipe.load()
    teacher = models.get("tiny_cnn", width=16, size=8)
    built = recipe.distillation(teacher, items.train).plan.actors["generator"]
    assert built.factory is not None
    assert built.factory().layers[0].num_features == 10
