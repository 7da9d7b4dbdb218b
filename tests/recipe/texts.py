"""Recipes on texts that train for a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.recipe import Recipe
from tests.runs.test_text_runs import recipe


def quick(place: Path, **changes: Any) -> Recipe:
    """The tiny text recipe with a teacher that is not trained, and terms that need no tokens."""
    training = {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 1e-3}, "trackers": [], "threads": 1}
    teacher = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), "num_labels": 2}}
    return recipe(place, training=training, teacher=teacher, terms=["soft_targets"], control=False, **changes)


def data(place: Path, **more: Any) -> dict[str, Any]:
    return {"train": str(place / "train.parquet"), "test": str(place / "test.parquet"), "max_length": 32, **more}


def cut(place: Path) -> dict[str, Any]:
    return {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": True}
