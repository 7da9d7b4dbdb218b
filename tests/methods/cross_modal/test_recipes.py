"""The recipes across modalities run as they are, on a few small sounds and pictures, for a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.models import get, save_weights
from limbeck.recipe import Recipe, built_in_recipes, read_yaml
from limbeck.runs import run_recipe
from tests.data.loading.files import parquet
from tests.runs.test_embedding_runs import place  # noqa: F401
from tests.runs.test_field_runs import columns, png

FEW: dict[str, Any] = {"steps": 3, "batch_size": 16, "precision": "float32", "trackers": []}


def content(name: str, train: Path, test: Path) -> dict[str, Any]:
    """The recipe with other files, for one seed and a few steps."""
    found: dict[str, Any] = read_yaml(built_in_recipes()[name].read_text())
    found["data"]["train"]["path"] = str(train)
    if isinstance(found["data"]["test"], str):
        found["data"]["test"] = str(test)
    else:
        found["data"]["test"]["path"] = str(test)
    del found["training"]["epochs"]
    found["training"] |= FEW
    return found | {"seeds": [0], "cache": "off"}


def sounds(path: Path, count: int, first: int) -> Path:
    cells = columns(first + count)
    return parquet(path, audio=cells["wave"][first:], label=cells["label"][first:])


def test_sound_envelope(tmp_path: Path) -> None:
    train, test = sounds(tmp_path / "train.parquet", 40, 0), sounds(tmp_path / "test.parquet", 12, 40)
    recipe = content("sound-envelope", train, test)
    recipe["data"]["labels"] = 10
    recipe["teacher"] |= {"training": {"steps": 3, "batch_size": 16}, "shared": False, "args": {"width": 4, "size": 64}}
    recipe["student"]["args"] = {"width": 4, "size": 64}
    verdict = run_recipe(Recipe.from_dict(recipe, "sound-envelope"), tmp_path / "run", progress=False)
    assert verdict.control is not None
    assert verdict.teacher is not None


def pictures(path: Path, count: int, first: int) -> Path:
    names = ["old cow", "new rain", "some bread"]
    rows = range(first, first + count)
    return parquet(
        path,
        image=[png(3 * row) for row in rows],
        text=[f"{names[row % 3]} {'near ' * (row % 5)}there" for row in rows],
        label=[row % 3 for row in rows],
        style=[("twitter", "google")[row % 2] for row in rows],
    )


def test_emoji(tmp_path: Path, place: Path) -> None:  # noqa: F811
    train, test = pictures(tmp_path / "train.parquet", 48, 0), pictures(tmp_path / "test.parquet", 32, 48)
    recipe = content("emoji", train, test)
    recipe["data"]["max_length"] = 16
    recipe["teacher"]["args"]["name_or_path"] = str(place / "teacher")
    weights = tmp_path / "whole.safetensors"
    save_weights(get("mobilenet_v2", width=0.25, channels=1), weights)
    recipe["student"] |= {"args": {"width": 0.25, "blocks": 2, "classes": 32}, "weights": str(weights)}
    verdict = run_recipe(Recipe.from_dict(recipe, "emoji"), tmp_path / "run", progress=False)
    assert verdict.metric.name == "recall_at_10"
    assert verdict.items == 16
    assert verdict.control is not None
