"""The smallest whole job: a teacher, a student and its control on digits, trained for seconds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from limbeck.recipe import Recipe, apply_override

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"train": {"path": "digits", "split": "train"}, "test": {"path": "digits", "split": "test"}, "validation": 0.1},
    "teacher": {
        "model": "tiny_cnn",
        "args": {"width": 8, "size": 8},
        "training": {"steps": 12, "batch_size": 32, "checkpoint_every": 5, "log_every": 5, "trackers": []},
    },
    "student": {"model": "tiny_cnn", "args": {"width": 4, "size": 8}},
    "terms": [{"hard_targets": {"weight": 0.1}}, {"soft_targets": {"temperature": 4, "weight": 0.9}}],
    "training": {"steps": 12, "batch_size": 32, "checkpoint_every": 5, "log_every": 5, "trackers": []},
    "seeds": [0],
}


def content(*changes: str) -> dict[str, Any]:
    fields = copy.deepcopy(TINY)
    for change in changes:
        apply_override(fields, change)
    return fields


def recipe(*changes: str) -> Recipe:
    return Recipe.from_dict(content(*changes))


def write(folder: Path, *changes: str) -> Path:
    """The recipe as a file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content(*changes)))
    return path
