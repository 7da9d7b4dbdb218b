"""The methods across modalities in recipes: sound ↔ image, text → image, two readings of one sound, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from limbeck import models
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs import evaluate_run, run_recipe
from tests.data.audio.sounds import tone
from tests.data.loading.files import parquet
from tests.runs.test_field_runs import columns
from tests.runs.test_modality_runs import encoder, model  # noqa: F401

QUICK: dict[str, Any] = {
    "steps": 12,
    "batch_size": 16,
    "trackers": [],
    "threads": 1,
    "optimizer": {"name": "adamw", "lr": 1e-2},
}
FIELDS: dict[str, Any] = {"wave": {"audio": {"n_mels": 16, "seconds": 0.1}}, "image": "image"}


def things(count: int = 48) -> dict[str, list[Any]]:
    return columns(count) | {"caption": [f"a {'bright high' if row % 2 else 'dark low'} tone" for row in range(count)]}


def recipe(path: str, method: Any, **changes: Any) -> dict[str, Any]:
    """A student that hears, and a teacher that sees and has learned the labels."""
    seeing = {"model": "tiny_cnn", "args": {"width": 4, "size": 16}, "reads": "image", "training": QUICK}
    return {
        "name": "pairs",
        "data": {"train": {"path": path, "fields": FIELDS}, "test": path, "allow_shared_items": True},
        "teacher": seeing,
        "student": {"model": "tiny_cnn", "args": {"width": 4, "size": 16}, "reads": "wave"},
        "method": method,
        "training": QUICK,
    } | changes


METHODS: list[Any] = [
    {"supervision_transfer": {"layer": "layer2"}},
    {"cmkd": {"layer": "input(linear)"}},
    {"contrastive_transfer": {"layer": "input(linear)", "soft": 1.0}},
    {"contrastive_transfer": {"layer": "input(linear)", "negatives": 8, "soft": 1.0}},
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join([*method, *next(iter(method.values()))]))
def test_a_student_that_hears_learns_from_one_that_sees(tmp_path: Path, method: Any) -> None:
    path = str(parquet(tmp_path / "pairs.parquet", **columns()))
    content = recipe(path, method)
    content["data"]["labels"] = 4  # all other pairs have none
    verdict = run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert verdict.student.metric > 0.9
    assert verdict.control is not None


def test_images_are_found_by_captions(tmp_path: Path, encoder: str) -> None:  # noqa: F811
    path = str(parquet(tmp_path / "pairs.parquet", **things()))
    content = recipe(path, {"cmkd": {"soft": 0, "within": 0, "across": 1.0, "affinity": 0.1}}, task="retrieval")
    content["data"]["train"]["fields"] = {"image": "image", "caption": "text"}
    content["data"]["max_length"] = 12
    content |= {
        "teacher": model("caption", encoder) | {"training": QUICK | {"steps": 80}},
        "metric": "recall_at_1",
        "cache": "auto",
    }
    content["student"] = {"model": "tiny_cnn", "args": {"width": 4, "size": 16, "classes": 2}, "reads": "image"}
    verdict = run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert verdict.student.metric > 0.9
    figures = evaluate_run(tmp_path / "run", path).as_json()
    assert figures["arms"]["student"]["recall_at_1"] == pytest.approx(verdict.student.metric)
    assert verdict.control is not None
    assert figures["arms"]["control"]["recall_at_1"] == pytest.approx(verdict.control.metric)  # with its fitted layer


SPECTROGRAM = {"audio": {"column": "wave", "n_mels": 16, "seconds": 0.1}}
READINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "envelope": ({"audio": {"column": "wave", "n_mels": 1, "seconds": 0.1}}, {"model": "tiny_cnn", "args": {"width": 4}}),
    "waveform": ("array", {"model": "mlp", "args": {"hidden": [8]}}),
    "image": ("image", {"model": "tiny_cnn", "args": {"width": 4, "size": 16}}),
}


@pytest.mark.parametrize("field", READINGS)
def test_what_hears_a_spectrogram_teaches_what_reads_another_field(tmp_path: Path, field: str) -> None:
    cells = columns()
    cells["waveform"] = [tone(300 + 1500 * (row % 2), seconds=0.02).tolist() for row in range(48)]
    path = str(parquet(tmp_path / "pairs.parquet", **cells))
    content = recipe(path, "supervision_transfer")
    kind, student = READINGS[field]
    content["data"]["train"]["fields"] = {"spectrogram": SPECTROGRAM, field: kind}
    content["teacher"]["reads"], content["student"] = "spectrogram", student | {"reads": field}
    verdict = run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.9
    if field != "envelope":  # how loud a tone is does not tell how high it is
        assert verdict.student.metric > 0.9


def test_a_modality_that_items_lack_is_named_before_training(tmp_path: Path) -> None:
    alone = {name: cells for name, cells in columns(8).items() if name != "image"}
    path = str(parquet(tmp_path / "sounds.parquet", **alone))
    with pytest.raises(ValueError, match=r"has no column of images for the field 'image'; its columns are: wave, label"):
        run_recipe(Recipe.from_dict(recipe(path, "supervision_transfer")), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "checkpoints").exists()
    cells = columns(8)
    cells["image"][3] = None
    path = str(parquet(tmp_path / "pairs.parquet", **cells))
    with pytest.raises(ValueError, match=r"row 3 has no 'image'; .*missing: skip"):
        run_recipe(Recipe.from_dict(recipe(path, "cmkd")), tmp_path / "run", progress=False)
    pairs = str(parquet(tmp_path / "whole.parquet", **columns(8)))
    content = recipe(pairs, "cmkd")
    content["data"]["test"] = str(tmp_path / "sounds.parquet")
    with pytest.raises(ValueError, match=r"sounds.parquet has no column of images for the field 'image'"):
        run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    content = recipe(pairs, "contrastive_transfer")
    content["teacher"]["reads"] = "picture"
    with pytest.raises(RecipeError, match=r"teacher.reads: 'picture' is none of the fields of data.train: wave, image"):
        Recipe.from_dict(content)


def test_retrieval_without_texts_or_width_is_refused_before_training(tmp_path: Path) -> None:
    path = str(parquet(tmp_path / "pairs.parquet", **columns(16)))
    arguments = {"width": 4, "size": 16, "classes": 6}
    save_file(models.get("tiny_cnn", **arguments).state_dict(), tmp_path / "teacher.safetensors")
    seeing = {"model": "tiny_cnn", "args": arguments, "reads": "image", "weights": str(tmp_path / "teacher.safetensors")}
    content = recipe(path, "contrastive_transfer", task="retrieval", teacher=seeing)
    with pytest.raises(ValueError, match=r"student gives embeddings of 2 numbers, and the teacher of 6.*classes: 6"):
        run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
