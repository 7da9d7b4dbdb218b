"""A run across modalities: the teacher reads images, the student sounds of the same things."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.data import FieldStorage, Items, load_fields
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs import evaluate_run, run_recipe
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet

FIELDS: dict[str, Any] = {"wave": "audio", "image": "image"}
READS = {"student": "wave", "teacher": "image"}
TRAINING = {"epochs": 6, "batch_size": 16, "trackers": [], "threads": 1, "optimizer": {"name": "adamw", "lr": 1e-2}}


def png(value: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def columns(count: int = 48) -> dict[str, list[Any]]:
    """Low tones with dark images, high tones with bright ones."""
    return {
        "wave": [{"bytes": wav(tone(300 + 5 * row + 1500 * (row % 2))), "path": None} for row in range(count)],
        "image": [png(20 + row + 150 * (row % 2)) for row in range(count)],
        "label": [row % 2 for row in range(count)],
    }


def content(train: str, test: str) -> dict[str, Any]:
    return {
        "name": "pairs",
        "data": {
            "train": {"path": train, "fields": FIELDS, "audio": {"n_mels": 16, "seconds": 0.1}},
            "test": test,
            "allow_shared_items": True,
        },
        "teacher": {"model": "tiny_cnn", "args": {"width": 4, "size": 16}, "reads": "image", "training": TRAINING},
        "student": {"model": "tiny_cnn", "args": {"width": 4, "size": 16}, "reads": "wave"},
        "terms": ["hard_targets", {"soft_targets": {"temperature": 2}}],
        "training": TRAINING,
    }


def test_each_actor_is_called_with_its_own_field(tmp_path: Path) -> None:
    path = parquet(tmp_path / "pairs.parquet", **columns(4))
    items = load_fields(path, FIELDS, READS)
    assert isinstance(items.storage, FieldStorage)
    batch = items.fetch(torch.arange(2))
    assert batch["student"].shape[:3] == (2, 1, 64)
    assert batch["teacher"].shape == (2, 1, 16, 16)
    assert batch["teacher"].max() <= 1
    assert torch.equal(items.select(torch.tensor([3, 1])).keys, items.keys[[3, 1]])
    assert len(items.keys.unique()) == 4
    assert items.for_actor("teacher").images


@pytest.mark.parametrize("cache", ["off", "auto"])
def test_a_run_from_recipe_to_verdict_and_new_sounds(tmp_path: Path, cache: str) -> None:
    pairs = str(parquet(tmp_path / "pairs.parquet", **columns()))
    made = Recipe.from_dict(content(pairs, pairs) | {"cache": cache})
    verdict = run_recipe(made, tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert verdict.student.metric > 0.9
    sounds = {name: cells for name, cells in columns().items() if name != "image"}  # the student needs no images
    figures = evaluate_run(tmp_path / "run", str(parquet(tmp_path / "new.parquet", **sounds))).as_json()
    assert figures["accuracy"] == pytest.approx(verdict.student.metric)
    assert list(figures["arms"]) == ["control", "student"]
    both = evaluate_run(tmp_path / "run", pairs).as_json()["arms"]
    assert {name: arm["accuracy"] for name, arm in both.items()} == pytest.approx(
        {name: arm.metric for name, arm in verdict.arms.items()}
    )


@pytest.mark.parametrize("empty", [None, {"bytes": None, "path": None}])
def test_an_item_without_a_field_is_refused_or_counted(tmp_path: Path, empty: Any) -> None:
    cells = columns(6)
    cells["image"][2] = empty
    cells["wave"][4] = empty
    path = parquet(tmp_path / "pairs.parquet", **cells)
    with pytest.raises(ValueError, match=r"row 4 has no 'wave'; .*missing: skip \(1 without 'wave', 1 without 'image' of 6\)"):
        load_fields(path, FIELDS, READS)
    with pytest.warns(UserWarning, match="2 of 6 items are left out: 1 without 'wave', 1 without 'image'"):
        items = load_fields(path, FIELDS, READS, missing="skip")
    assert items.target is not None
    assert items.target.tolist() == [0, 1, 1, 1]


def test_wrong_fields_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "pairs.parquet", **columns(2))
    with pytest.raises(ValueError, match="no column 'wav'; nearest: wave"):
        load_fields(path, {"wav": "audio", "image": "image"}, READS)
    with pytest.raises(ValueError, match="the field 'wave' is read as image, and its column 'wave' holds audio"):
        load_fields(path, {"wave": "image", "image": "image"}, READS)
    with pytest.raises(ValueError, match="teacher reads 'sound', which is none of the fields wave, image"):
        load_fields(path, FIELDS, {"student": "wave", "teacher": "sound"})
    with pytest.raises(ValueError, match="expected as many items in each"):
        FieldStorage({"a": Items.from_tensors(torch.zeros(2, 3)), "b": Items.from_tensors(torch.zeros(3, 3))}, {"student": "a"})


def test_recipes_name_the_field_of_each_model() -> None:
    fields = content("a.parquet", "a.parquet")
    del fields["teacher"]["reads"]
    with pytest.raises(RecipeError, match=r"teacher.reads: None is none of the fields of data.train: wave, image"):
        Recipe.from_dict(fields, files=False)
    fields = content("a.parquet", "a.parquet")
    del fields["data"]["train"]["fields"]
    with pytest.raises(RecipeError, match=r"teacher.reads: 'image', and data.train has no fields:"):
        Recipe.from_dict(fields, files=False)


def test_peers_of_two_modalities_are_evaluated_on_their_own_fields(tmp_path: Path) -> None:
    pairs = str(parquet(tmp_path / "pairs.parquet", **columns()))
    model = {"model": "tiny_cnn", "args": {"width": 4, "size": 16}}
    terms = [{"hard_targets": {"student": "peers.*"}}]
    recipe = content(pairs, pairs) | {
        "actors": {"peers.ear": model | {"reads": "wave"}, "peers.eye": model | {"reads": "image"}},
        "stages": [{"steps": 20, "updates": [{"trains": "peers.*", "terms": terms}]}],
        "evaluate": {"ear": "peers.ear", "eye": "peers.eye"},
        "training": {name: value for name, value in TRAINING.items() if name != "epochs"},
    }
    for field in ("teacher", "student", "terms"):
        del recipe[field]
    verdict = run_recipe(Recipe.from_dict(recipe), tmp_path / "run", progress=False)
    found = evaluate_run(tmp_path / "run", pairs).as_json()["results"]
    for name, result in verdict.results.items():
        assert result.control is not None
        assert found[name]["accuracy"] == pytest.approx(result.distilled.metric)
        assert found[name]["arms"]["control"]["accuracy"] == pytest.approx(result.control.metric)
