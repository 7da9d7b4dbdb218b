"""Tiny runs that cache the outputs of their teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from limbeck import runs
from limbeck.evaluation import Verdict
from tests import tiny

AUGMENTED = "training.views=[{random_crop: {padding: 1}}, {mixup: {alpha: 0.4}}]"
HINT = "terms=[hard_targets, {hint: {student: auto}}, soft_targets]"
LONGER = ("training.steps=60", "data.train.limit=200", "data.validation=0")


def student_of(folder: Path, *changes: str, seeds: str = "seeds=[0]") -> dict[str, Any]:
    """The student's weights after a run."""
    runs.run_recipe(tiny.recipe(*LONGER, seeds, *changes), folder, progress=False)
    _, model = runs.open_run(folder)
    return dict(model.state_dict())


def teacher_items(folder: Path) -> int:
    cost = Verdict.load(folder).cost
    assert cost is not None
    return cost.teacher_items


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def train_teacher(folder: Path) -> str:
    """The change of a recipe that loads a trained teacher."""
    runs.run_recipe(tiny.recipe(*LONGER), folder / "run", progress=False)
    return f"teacher.weights={folder / 'run' / 'teacher' / 'model.safetensors'}"
