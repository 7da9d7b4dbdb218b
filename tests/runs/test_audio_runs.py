"""A run on sounds: from recipe to verdict, and the student on new sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.data.audio import AudioOptions
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs import evaluate_run, run_recipe
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet

TRAINING = {"epochs": 6, "batch_size": 16, "trackers": [], "threads": 1, "optimizer": {"name": "adamw", "lr": 1e-2}}


def sounds(folder: Path, name: str, rate: int = 8000) -> str:
    """Low and high tones."""
    cells = [{"bytes": wav(tone(300 + 5 * row + 1500 * (row % 2), rate=rate), rate), "path": None} for row in range(48)]
    return str(parquet(folder / name, wave=cells, take=list(range(48)), label=[row % 2 for row in range(48)]))


def recipe(train: Any, test: Any) -> Recipe:
    model = {"model": "tiny_cnn", "args": {"width": 4, "size": 16}}
    return Recipe.from_dict(
        {
            "name": "sounds",
            "data": {"train": train, "test": test, "allow_shared_items": True},
            "teacher": model | {"training": TRAINING},
            "student": model,
            "terms": ["hard_targets", {"soft_targets": {"temperature": 2}}],
            "training": TRAINING,
        }
    )


def test_a_run_keeps_how_its_sounds_became_spectrograms(tmp_path: Path) -> None:
    train, test, run = sounds(tmp_path, "train.parquet"), sounds(tmp_path, "test.parquet"), tmp_path / "run"
    made = recipe({"path": train, "audio": {"n_mels": 16, "seconds": 0.1}}, test)
    verdict = run_recipe(made, run, progress=False)
    assert verdict.student is not None
    assert verdict.student.metric > 0.9  # two tones are told apart in seconds
    assert AudioOptions.load(run / "student") == AudioOptions(n_mels=16, seconds=0.1, sample_rate=8000)
    assert evaluate_run(run, test).as_json()["accuracy"] == pytest.approx(verdict.student.metric)
    with pytest.raises(ValueError, match="row 0 has 16,000 samples a second, and 8,000 are expected"):
        evaluate_run(run, sounds(tmp_path, "fast.parquet", rate=16000))


def test_other_data_may_be_resampled_but_not_read_otherwise(tmp_path: Path) -> None:
    train, fast = sounds(tmp_path, "train.parquet"), sounds(tmp_path, "fast.parquet", rate=16000)
    options = {"n_mels": 16, "seconds": 0.1}
    items = recipe({"path": train, "audio": options}, {"path": fast, "audio": {"resample": True}}).load()
    assert items.test.storage.options == AudioOptions(**options, sample_rate=8000, resample=True)  # type: ignore[attr-defined, arg-type]
    made = recipe({"path": train, "audio": options}, {"path": fast, "audio": {"resample": True}})
    made.reader.audio = items.test.storage.options  # type: ignore[attr-defined]
    assert len(Recipe.from_dict(made.model_dump(mode="json")).load().test) == len(made.load().train)  # as a finished run has it
    other = recipe({"path": train, "audio": options}, {"path": train, "audio": {"n_mels": 20}})
    with pytest.raises(RecipeError, match=r"audio.n_mels is 20, and the training data has 16; leave it out"):
        other.load()
