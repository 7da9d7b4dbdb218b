"""The recipes of methods between architectures run as they are, on small data and networks for a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import methods
from limbeck.models import load_model
from limbeck.recipe import Recipe, built_in_recipes, read_yaml
from limbeck.runs import run_recipe

NAMES = [name for name in methods.registry.names() if methods.paradigm(name) == "heterogeneous"]
CNN = {"model": "tiny_cnn", "args": {"width": 4, "size": 8}}
VIT = {"dim": 8, "depth": 4, "heads": 2, "size": 8, "patch": 2}


def small(name: str) -> dict[str, Any]:
    """The recipe with digits in place of its data and small networks of the same kind, for a few steps."""
    content: dict[str, Any] = read_yaml(built_in_recipes()[name].read_text())
    content["data"] |= {"train": {"path": "digits", "split": "train", "limit": 96}, "labels": 40}
    content["data"]["test"] = {"path": "digits", "split": "test", "limit": 40}
    content["training"] |= {"steps": 8, "batch_size": 16, "precision": "float32", "trackers": []}
    del content["training"]["epochs"]
    for part in (content["teacher"], content["student"], *content.get("actors", {}).values()):
        own = part.get("args", {})
        if part["model"] == "vit_tiny":
            part["args"] = VIT | {key: value for key, value in own.items() if key == "distilled"}
        else:
            part |= CNN
        part.pop("precision", None)
    content["teacher"].pop("weights", None)
    content["teacher"].pop("fresh_head", None)
    content["teacher"]["training"] = {"steps": 2, "batch_size": 16, "trackers": []}
    return content | {"seeds": [0], "targets": {}}


@pytest.mark.parametrize("name", [*NAMES, "imagenet-teacher"])
def test_each_method_has_a_recipe_that_runs(name: str, tmp_path: Path) -> None:
    recipe = Recipe.from_dict(small(name), name)
    verdict = run_recipe(recipe, tmp_path / "run", progress=False)
    assert verdict.result.distilled is not None
    assert verdict.result.control is not None
    kept = load_model(tmp_path / "run" / "student").state_dict()
    assert not any("exits" in key for key in kept)
    assert any("head_dist" in key for key in kept) is (name == "deit")
