"""A saved model is loaded again and compared; one that was altered after it was built is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import Distillation, models
from limbeck.models.read_back import can_be_saved_whole, saving_problem
from tests.experiment.test_shared_items import part
from tests.experiment.tiny_classifiers import QUICK


def mlp() -> nn.Module:
    return models.get("mlp", inputs=6, hidden=[8], classes=2)


def altered() -> nn.Module:
    model = mlp()
    name, last = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    model.set_submodule(name, nn.Sequential(last, nn.Linear(2, 2)))
    return model


def test_a_model_as_it_was_built_has_no_problem(tmp_path: Path) -> None:
    assert saving_problem(mlp()) is None
    assert saving_problem(mlp(), tmp_path / "model") is None
    assert (tmp_path / "model" / "config.json").exists()
    assert not can_be_saved_whole(nn.Linear(2, 2))


def test_an_altered_model_is_named_with_the_tensor_that_differs() -> None:
    problem = saving_problem(altered())
    assert problem is not None
    assert "weight" in problem


def test_an_altered_student_is_said_before_the_training_and_its_weights_are_kept(tmp_path: Path) -> None:
    job = Distillation(altered(), nn.Linear(6, 2), training=QUICK, control=False, folder=tmp_path / "run")
    with pytest.warns(UserWarning, match=r"student: it would not be loaded as it is .*altered after it was built"):
        job.check(part(0, 100))
    job.fit(part(0, 100))
    with pytest.warns(UserWarning, match="only its weights are kept"):
        job.evaluate(part(100, 150))
    assert not (tmp_path / "run" / "student" / "config.json").exists()
    again = altered()
    models.load_weights(again, tmp_path / "run" / "student" / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), job.best.parameters(), strict=True))
