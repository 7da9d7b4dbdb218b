"""The teacher of a run: kept as it was trained, or given with its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import models
from limbeck.engine import checkpoint
from limbeck.runs import run_recipe
from tests import tiny


def test_a_damaged_teacher_is_named(finished: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    whole = (finished / "teacher" / "model.safetensors").read_bytes()
    changes = ["teacher.training=null", f"teacher.weights={weights}"]
    weights.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"weights.safetensors is truncated"):
        run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    weights.write_bytes(whole)
    with pytest.raises(ValueError, match=r"weights.safetensors does not match this tiny_cnn.*Likely reason"):
        run_recipe(tiny.recipe(*changes, "teacher.args.width=16"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    run_recipe(tiny.recipe(*changes, "control=false"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "teacher").exists()  # it is the user's, where the recipe says


def test_the_teacher_is_kept_as_it_taught(finished: Path) -> None:
    teacher = models.load_model(finished / "teacher")
    state = checkpoint.Checkpoints(finished / "checkpoints" / "teacher" / "checkpoints").newest()
    assert state is not None
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, state["actors"]["teacher"][name])
