"""The teacher of a run: kept as it was trained, or given with its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import models
from limbeck.engine import checkpoint
from limbeck.runs import run_recipe
from tests import tiny
from tests.runs import several
from tests.runs.several import cached_teachers
from tests.runs.test_text_runs import place, recipe  # noqa: F401


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


def test_a_shared_teacher_is_trained_once(place: Path, tmp_path: Path) -> None:  # noqa: F811
    plain = recipe(place, control=False)
    training = plain.model_dump(mode="json")["teacher"] | {"shared": True}
    training["training"]["epochs"] = 1
    first = recipe(place, teacher=training, control=False, terms=["soft_targets"])
    run_recipe(first, tmp_path / "first", progress=False)
    (shared,) = (tmp_path / "teachers").iterdir()
    before = (shared / "model.safetensors").stat().st_mtime_ns
    slower = {**training, "training": training["training"] | {"log_every": 7}}  # nothing that changes the weights
    run_recipe(recipe(place, teacher=slower, control=False), tmp_path / "second", progress=False)
    assert [path.name for path in (tmp_path / "teachers").iterdir()] == [shared.name]
    assert (shared / "model.safetensors").stat().st_mtime_ns == before
    ours, theirs = (models.load_model(tmp_path / name / "teacher").state_dict() for name in ("first", "second"))
    assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    longer = {**training, "training": training["training"] | {"epochs": 2}}
    run_recipe(recipe(place, teacher=longer, control=False), tmp_path / "third", progress=False)
    assert len(list((tmp_path / "teachers").iterdir())) == 2


def test_a_teacher_that_cannot_train_on_a_part_of_one_item_is_found_before_the_folder_is_made(tmp_path: Path) -> None:
    """A MobileNet makes one position of 8×8 pixels, of which BatchNorm needs two items."""
    deep = ['teacher.model="mobilenet_v3"', "teacher.args={}", "teacher.training.batch_size=2", "teacher.training.accumulate=2"]
    with pytest.raises(ValueError, match=r"teacher: the BatchNorm layer .* cannot train on one item.*set it to 4 or more"):
        run_recipe(tiny.recipe(*deep), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_further_teacher_that_does_not_fit_the_labels_is_found_before_the_first_is_trained(tmp_path: Path) -> None:
    content = cached_teachers()
    content["actors"]["teachers.b"]["args"]["classes"] = 4
    content["terms"] = ["hard_targets", {"soft_targets": {"teacher": "teachers.a"}}]
    with pytest.raises(ValueError, match=r"training data: labels go up to 9, but the teachers\.b outputs 4 classes"):
        run_recipe(several.recipe(content), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
