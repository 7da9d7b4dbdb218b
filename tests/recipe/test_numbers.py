"""Models of numbers to predict: one output, without a word."""

from __future__ import annotations

from pathlib import Path

import torch

from limbeck.data import Items
from limbeck.recipe import Recipe, data_sizes


def test_models_of_numbers_have_one_output(tmp_path: Path) -> None:
    for name, first in (("train", 1), ("test", 5)):
        rows = "".join(f"{row},{row % 3},{row / 4}\n" for row in range(first, first + 4))
        (tmp_path / f"{name}.csv").write_text(f"a,b,label\n{rows}")
    mlp = {"model": "mlp", "args": {"hidden": [2]}}
    data = {name: str(tmp_path / f"{name}.csv") for name in ("train", "test")}
    content = {"name": "numbers", "task": "regression", "data": data, "student": mlp, "terms": ["squared_error"]}
    recipe = Recipe.from_dict(content)
    train = recipe.load()[1]
    assert train is not None
    assert recipe.student.new(*data_sizes(train))(torch.zeros(3, 2)).shape == (3, 1)


def test_classes_and_several_labels_have_as_many_outputs_as_classes() -> None:
    inputs = torch.zeros(4, 2)
    assert data_sizes(Items.from_tensors(inputs, torch.tensor([0, 1, 2, 1]))).classes == 3
    assert data_sizes(Items.from_tensors(inputs, torch.eye(4, dtype=torch.int64), classes=4)).classes == 4
    assert data_sizes(Items.from_tensors(inputs, torch.rand(4))).classes == 1
    assert data_sizes(Items.from_tensors(inputs)).classes is None
