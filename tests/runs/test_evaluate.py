"""A finished run on other data: student, control and teacher."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from limbeck import models, runs
from limbeck.data import load_items, to_float
from limbeck.data.image.size import save_image_shape, saved_image_shape
from limbeck.evaluation import Verdict
from limbeck.evaluation.federation import FederationRecord
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe
from limbeck.runs.teacher import rebuild_compared
from tests import tiny
from tests.runs.images import write_images


def test_evaluating_needs_no_training_data(finished: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    moved.mkdir()
    fields = tiny.content("data.train=${NO_SUCH_PLACE}/x.parquet")
    (moved / "recipe.yaml").write_text(yaml.safe_dump(fields))
    (moved / "student").symlink_to(finished / "student")
    assert runs.evaluate_run(moved, "digits", split="test").as_json()["items"] == 599


def write_digits(folder: Path, factors: Sequence[int], mode: str = "L") -> str:
    """The first test images of digits, each as many times as large as its factor says, the factors in turn."""
    digits = load_items("digits", split="test")
    pictures, target = digits.fetch(torch.arange(40)), digits.target[:40].tolist()
    for at, (picture, label) in enumerate(zip(pictures, target, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        factor = factors[at % len(factors)]
        large = picture[0].repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        Image.fromarray(large.numpy()).convert(mode).save(folder / str(label) / f"{at}.png")
    return str(folder)


def test_images_of_another_size_or_channels_are_read_as_those_of_the_training(finished: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)

    def accuracy(name: str, *factors: int, mode: str = "L") -> float:
        data = write_digits(tmp_path / name, factors, mode)
        return float(runs.evaluate_run(finished, data, console=console).as_json()["accuracy"])

    same = accuracy("same", 1)
    assert console.file.getvalue() == ""
    assert accuracy("colour", 1, mode="RGB") == same
    assert accuracy("large", 4) == pytest.approx(same, abs=0.1)
    assert accuracy("mixed", 1, 3) == pytest.approx(same, abs=0.1)
    for found in ("3 × 8 × 8", "1 × 32 × 32", "several sizes or channels"):
        assert console.file.getvalue().count(f"images of {found} are read as 1 × 8 × 8, as in the training") == 1


def test_models_whose_channels_were_not_kept_are_evaluated(tmp_path: Path) -> None:
    save_image_shape((3, 8, 9), tmp_path)
    assert saved_image_shape(tmp_path) == (3, 8, 9)
    (tmp_path / "image.json").write_text('{"height": 8, "width": 9}')  # of an older version
    assert saved_image_shape(tmp_path) == (None, 8, 9)


def test_data_with_other_classes_is_not_judged_against_the_wrong_ones(tmp_path: Path) -> None:
    write_images(tmp_path / "data", ["cat", "dog", "emu"])
    where = f"{{path: {tmp_path}/data}}"
    changes = [
        f"data.train={where}",
        f"data.test={where}",
        "data.allow_shared_items=true",
        "data.validation=0",
        "control=false",
        "training.steps=1",
        "training.batch_size=4",
        "teacher.training.steps=1",
    ]
    run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    assert runs.evaluate_run(tmp_path / "run", str(tmp_path / "data")).as_json()["items"] == 9
    write_images(tmp_path / "other", ["dog", "fox"])
    with pytest.raises(ValueError, match=r"class 'fox' is none of the 3 of the training data \(0: cat, 1: dog, 2: emu\)"):
        runs.evaluate_run(tmp_path / "run", str(tmp_path / "other"))


def test_data_that_lack_a_class_are_numbered_as_the_training_data(tmp_path: Path) -> None:
    """By themselves dog and emu would be 0 and 1, and each right answer a wrong one."""
    write_images(tmp_path / "data", ["cat", "dog", "emu"])
    (tmp_path / "part").mkdir()
    for name in ("dog", "emu"):
        (tmp_path / "part" / name).symlink_to(tmp_path / "data" / name)
    changes = [
        f"data.train={{path: {tmp_path}/data}}",
        f"data.test={{path: {tmp_path}/part}}",
        "data.validation=0",
        "data.allow_shared_items=true",
        "control=false",
        "training.steps=1",
        "training.batch_size=4",
        "teacher.training.steps=1",
    ]
    verdict = run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    assert verdict.classes == ["cat", "dog", "emu"]
    test = tiny.recipe(*changes).load()[3]
    assert test.class_names == ["cat", "dog", "emu"]
    assert test.target is not None
    assert sorted(test.target.tolist()) == [1, 1, 1, 2, 2, 2]
    whole, part = (runs.evaluate_run(tmp_path / "run", str(tmp_path / name)).as_json()["accuracy"] for name in ("data", "part"))
    missed = 9 - round(9 * whole)
    assert 6 - round(6 * part) <= missed  # what is right among all is right among some


def test_student_control_and_teacher_of_a_run_are_compared_on_the_new_data(finished: Path) -> None:
    """On the run's own test set gain, retention and intervals are those of its verdict."""
    verdict = Verdict.load(finished)
    found = runs.evaluate_run(finished, "digits", split="test").as_json()
    assert list(found["arms"]) == ["teacher", "control", "student"]
    for name, arm in verdict.arms.items():
        assert found["arms"][name]["accuracy"] == pytest.approx(arm.metric)
        assert found["arms"][name]["ci95"] == pytest.approx(list(arm.ci95), abs=1e-3)
        assert found["arms"][name]["ece"] == pytest.approx(arm.ece)
    assert found["arms"]["student"] == {name: found[name] for name in ("accuracy", "ci95", "ece")}
    assert verdict.gain is not None
    assert found["gain"]["value"] == pytest.approx(verdict.gain.value)
    assert found["gain"]["ci95"] == pytest.approx(verdict.gain.ci95)
    assert found["retention"] == pytest.approx(verdict.retention)
    assert found["retention_ci95"] == pytest.approx(verdict.result.retention_ci95)


def test_of_several_seeds_the_models_of_the_best_student_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    verdict = run_recipe(tiny.recipe("seeds=[0,1]", "data.validation=0.2"), folder, progress=False)
    found = runs.evaluate_run(folder, "digits", split="test").as_json()["arms"]
    assert verdict.control is not None
    assert verdict.student.per_seed[0] != verdict.student.per_seed[1]
    (row,) = [n for n in (0, 1) if verdict.student.per_seed[n] == pytest.approx(found["student"]["accuracy"])]
    assert found["control"]["accuracy"] == pytest.approx(verdict.control.per_seed[row])


def test_a_run_without_control_and_teacher_is_evaluated_without_them(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("control", "teacher", "checkpoints"))
    console = Console(file=io.StringIO(), width=200)
    found = runs.evaluate_run(folder, "digits", split="test", console=console).as_json()
    assert list(found["arms"]) == ["student"]
    assert (found["gain"], found["retention"], found["retention_ci95"]) == (None, None, None)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "without the teacher, which cannot be rebuilt: " in printed
    assert f"without the control: {folder / 'control'} is missing; written by: limbeck distill " in printed
    assert found["accuracy"] == runs.evaluate_run(finished, "digits", split="test").as_json()["accuracy"]


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("student", "evaluate.teacher: 'student' is trained by the run, which keeps results only"),
        ("assistants.a", "assistants.a is gone"),
        ("teacher", None),
        ("linear", None),  # a tap of the teacher
        ({"ensemble": {"of": ["teacher", "teacher"]}}, None),
    ],
)
def test_what_the_verdict_compares_with_is_built_again(
    named: object, reason: str | None, finished: Path, tmp_path: Path
) -> None:
    folder, console = tmp_path / "run", Console(file=io.StringIO(), width=200)
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("checkpoints"))
    written = yaml.safe_load((folder / "recipe.yaml").read_text())
    written["actors"] = {"assistants.a": written["teacher"]}
    recipe = Recipe.from_dict(written | {"evaluate": {"student": "student", "teacher": "teacher"}})
    recipe.evaluate = {"student": "student", "teacher": named}  # type: ignore[dict-item]
    items = recipe.items(recipe.data.test)
    model = rebuild_compared(recipe, folder, items, None, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    if reason is not None:
        assert model is None
        assert f"without the teacher, which cannot be rebuilt: {reason}" in printed.replace(f"{folder}/actors/", "")
        return
    assert model is not None
    teacher = models.load_model(folder / "teacher")
    images = to_float(items.fetch(torch.arange(4)))
    torch.testing.assert_close(model(images), teacher(images))


def several(folder: Path, finished: Path) -> Verdict:
    """A run with two results besides its student, of which one was kept as weights alone, and a further control."""
    shutil.copytree(finished, folder)
    verdict = Verdict.load(finished)
    own = verdict.result
    assert own.control is not None
    further = own.model_copy(update={"controls": {"smoothing": own.control}})
    verdict = verdict.model_copy(update={"results": {"student": own, "early": further, "both": own}})
    verdict.save(folder / "verdict.json")
    for name in ("student", "control"):
        shutil.copytree(finished / name, folder / "results" / "early" / name)
    shutil.copytree(finished / "control", folder / "results" / "early" / "smoothing")
    (folder / "results" / "both" / "student").mkdir(parents=True)
    shutil.copy(finished / "student" / "model.safetensors", folder / "results" / "both" / "student")
    return verdict


def test_every_result_whose_model_is_kept_is_evaluated(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    several(folder, finished)
    console = Console(file=io.StringIO(), width=200)
    found = runs.evaluate_run(folder, "digits", split="test", console=console).as_json()
    alone = runs.evaluate_run(finished, "digits", split="test").as_json()
    assert {key: value for key, value in found.items() if key not in ("results", "run")} == {
        key: value for key, value in alone.items() if key != "run"
    }
    assert list(found["results"]) == ["student", "early"]
    early = found["results"]["early"]
    assert list(early["arms"]) == ["teacher", "control", "smoothing", "student"]
    assert (early["accuracy"], early["gain"]) == (alone["accuracy"], alone["gain"])
    assert early["gains"]["smoothing"] == early["gain"]
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"without both: {folder / 'results' / 'both' / 'student'} holds no model that can be loaded" in printed


def test_a_further_control_that_is_missing_is_named(tmp_path: Path, finished: Path) -> None:
    several(tmp_path / "run", finished)
    shutil.rmtree(tmp_path / "run" / "results" / "early" / "smoothing")
    console = Console(file=io.StringIO(), width=200)
    found = runs.evaluate_run(tmp_path / "run", "digits", split="test", console=console).as_json()
    assert "gains" not in found["results"]["early"]
    assert "without early/smoothing: " in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_that_distilled_nothing_claims_no_distillation_on_other_data(tmp_path: Path) -> None:
    """Nor does it deny it: the sentence of the run and that of its evaluation have one subject."""
    labels = ["terms=[hard_targets: {}]", "teacher.training.steps=1", "training.steps=2"]
    with pytest.warns(UserWarning, match="no term reads it"):
        run_recipe(tiny.recipe(*labels), tmp_path / "run", progress=False)
    found = runs.evaluate_run(tmp_path / "run", "digits", split="test").verdict
    assert "nothing was distilled: no term reads a teacher" in found.sentence()
    assert "had no effect" not in found.sentence()


def test_what_a_federation_gave_is_told_of_its_method(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    averaged = FederationRecord(method="fedavg", distils=False, exchanges="weights", clients=2)
    verdict = Verdict.load(finished).model_copy(update={"federation": averaged})
    verdict.save(folder / "verdict.json")
    sentence = runs.evaluate_run(folder, "digits", split="test").verdict.sentence()
    assert "fedavg" in sentence
    assert "distillation" not in sentence


def test_a_control_that_a_run_never_had_is_not_missed(tmp_path: Path, finished: Path) -> None:
    """As that of a federation which averages only: to run it again would write none."""
    folder, console = tmp_path / "run", Console(file=io.StringIO(), width=200)
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("control"))
    verdict = Verdict.load(finished)
    bare = verdict.result.model_copy(update={"control": None, "gain": None})
    verdict.model_copy(update={"results": {"student": bare}}).save(folder / "verdict.json")
    assert list(runs.evaluate_run(folder, "digits", split="test", console=console).as_json()["arms"]) == ["teacher", "student"]
    assert "without the control" not in console.file.getvalue()  # type: ignore[attr-defined]
