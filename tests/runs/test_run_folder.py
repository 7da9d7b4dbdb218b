"""A run directory: what is in it, what is never touched, who may go on with it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from limbeck import models, runs
from limbeck.engine import checkpoint
from limbeck.engine.checkpoint import CheckpointError
from limbeck.engine.metrics_log import LogFile
from limbeck.evaluation import Verdict
from limbeck.runs.distill import run_recipe
from limbeck.runs.folder import RunError
from limbeck.runs.resume import changed_fields
from tests import ranks, tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run_recipe(tiny.recipe(), folder, progress=False)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_run_leaves(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock",
        "recipe.yaml",
        "student",
        "teacher",
        "checkpoints",
        "log.jsonl",
        "predictions.safetensors",
        "verdict.json",
        "report.html",
    }
    verdict = json.loads((finished / "verdict.json").read_text())
    assert verdict["cost"]["student_steps"] == 12
    arms = {(json.loads(line)["seed"], json.loads(line)["arm"]) for line in (finished / "log.jsonl").read_text().splitlines()}
    assert arms == {(0, "teacher"), (0, "student"), (0, "control")}
    figures = runs.evaluate_run(finished, "digits", split="test")
    assert figures["accuracy"] == pytest.approx(verdict["results"]["student"]["distilled"]["metric"])
    assert figures["ece"] == pytest.approx(verdict["results"]["student"]["distilled"]["ece"])


@pytest.mark.parametrize("options", [{}, {"resume": True, "force": True}])
def test_a_run_is_never_overwritten_unasked(finished: Path, options: dict[str, bool]) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"--resume.*--force"):
        run_recipe(tiny.recipe(), finished, progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(finished) == before


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_files_that_are_no_run_stay(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(RunError, match=r"no run.*another --out"):
        run_recipe(tiny.recipe(), tmp_path, progress=False, **options)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is a file"):
        run_recipe(tiny.recipe(), tmp_path / "thesis.tex", progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(tmp_path) == {"thesis.tex": b"ten years"}


def test_force_starts_over_but_not_before_the_new_job_is_known_to_work(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    run_recipe(tiny.recipe("training.steps=3", "control=false"), folder, progress=False)
    before = bytes_of(folder)
    with pytest.raises(ValueError, match="outputs 5 classes"):
        run_recipe(tiny.recipe("student.args.classes=5"), folder, force=True, progress=False)
    assert bytes_of(folder) == before
    run_recipe(tiny.recipe(), folder, force=True, progress=False)
    weights = "student/model.safetensors"
    assert (folder / weights).read_bytes() == (finished / weights).read_bytes() != before[weights]


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(finished: Path) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"training.steps was 12 and is 13.* limbeck distill .*recipe.yaml --out .* --resume"):
        run_recipe(tiny.recipe("training.steps=13"), finished, resume=True, progress=False)
    with pytest.raises(RunError, match=r"seeds was \[0\] and is \[1\]"):
        run_recipe(tiny.recipe("seeds=[1]"), finished, resume=True, progress=False)
    assert bytes_of(finished) == before


def test_goals_may_change_and_seeds_be_added() -> None:
    before = tiny.recipe().model_dump(mode="json")
    assert changed_fields(before, tiny.recipe("seeds=[0,1]", "targets={gain: 3}").model_dump(mode="json")) == []
    assert changed_fields(before, tiny.recipe("seeds=[1,0]").model_dump(mode="json")) != []
    assert changed_fields(before, tiny.recipe("student.args.width=5").model_dump(mode="json")) == [
        "student.args.width was 4 and is 5"
    ]


@pytest.mark.parametrize("what", ["verdict.json", "student/config.json"])
def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RunError, match="there is no"):
        runs.load_verdicts([folder])
    folder.mkdir()
    with pytest.raises(RunError, match=r"no recipe.yaml, so it is no run"):
        runs.evaluate_run(folder, "digits")
    tiny.recipe().write(folder / "recipe.yaml")
    with pytest.raises(RunError, match=r"no verdict yet; finish it with: limbeck distill .*recipe.yaml --out .* --resume"):
        runs.load_verdicts([folder])
    with pytest.raises(RunError, match=r"no student yet; finish it with: limbeck distill"):
        runs.evaluate_run(folder, "digits")


def test_evaluating_needs_no_training_data(finished: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    moved.mkdir()
    fields = tiny.content("data.train=${NO_SUCH_PLACE}/x.parquet")
    (moved / "recipe.yaml").write_text(yaml.safe_dump(fields))
    (moved / "student").symlink_to(finished / "student")
    assert runs.evaluate_run(moved, "digits", split="test")["items"] == 599


def write_images(folder: Path, classes: list[str], count: int = 3) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (8, 8), 20 * label + number).save(folder / name / f"{number}.png")


def test_data_with_other_classes_is_not_judged_against_the_wrong_ones(tmp_path: Path) -> None:
    write_images(tmp_path / "data", ["cat", "dog", "emu"])
    where = f"{{path: {tmp_path}/data}}"
    changes = [f"data.train={where}", f"data.test={where}", "data.validation=0", "control=false", "training.steps=1",
               "training.batch_size=4", "teacher.training.steps=1"]  # fmt: skip
    run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    assert runs.evaluate_run(tmp_path / "run", str(tmp_path / "data"))["items"] == 9
    write_images(tmp_path / "other", ["dog", "fox"])
    with pytest.raises(ValueError, match=r"class 'fox' is none of the 3 of the training data \(0: cat, 1: dog, 2: emu\)"):
        runs.evaluate_run(tmp_path / "run", str(tmp_path / "other"))


def test_data_that_lack_a_class_are_numbered_as_the_training_data(tmp_path: Path) -> None:
    """By themselves dog and emu would be 0 and 1, and each right answer a wrong one."""
    write_images(tmp_path / "data", ["cat", "dog", "emu"])
    (tmp_path / "part").mkdir()
    for name in ("dog", "emu"):
        (tmp_path / "part" / name).symlink_to(tmp_path / "data" / name)
    changes = [f"data.train={{path: {tmp_path}/data}}", f"data.test={{path: {tmp_path}/part}}", "data.validation=0",
               "control=false", "training.steps=1", "training.batch_size=4", "teacher.training.steps=1"]  # fmt: skip
    verdict = run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    assert verdict.classes == ["cat", "dog", "emu"]
    test = tiny.recipe(*changes).load()[3]
    assert test.class_names == ["cat", "dog", "emu"]
    assert test.target is not None
    assert sorted(test.target.tolist()) == [1, 1, 1, 2, 2, 2]
    whole, part = (runs.evaluate_run(tmp_path / "run", str(tmp_path / name))["accuracy"] for name in ("data", "part"))
    missed = 9 - round(9 * whole)
    assert 6 - round(6 * part) <= missed  # what is right among all is right among some


def test_a_full_disk_in_the_middle_of_a_run(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the places where a run writes fails once; each time it is resumed, and ends as a quiet one."""
    folder = tmp_path / "run"

    def full_at(call: int, original: Any) -> Any:
        calls = iter(range(1000))

        def write(*args: Any, **options: Any) -> Any:
            if next(calls) == call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **options)

        return write

    for owner, name, call, error in (
        (checkpoint, "save_file", 1, CheckpointError),
        (LogFile, "write", 1, RunError),
        (models, "save_model", 0, RunError),
        (checkpoint, "save_file", 3, CheckpointError),
        (os, "replace", 5, (RunError, CheckpointError)),
        (Verdict, "save", 0, RunError),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full_at(call, getattr(owner, name)))
            with pytest.raises(error, match=r"No space left.*make room.*--resume"):
                run_recipe(tiny.recipe(), folder, resume=True, progress=False)
    run_recipe(tiny.recipe(), folder, resume=True, progress=False)
    for file in ("student/model.safetensors", "teacher/model.safetensors", "log.jsonl"):
        assert (folder / file).read_bytes() == (finished / file).read_bytes(), file


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


def test_of_two_ranks_one_writes(tmp_path: Path, finished: Path) -> None:
    file, out = tiny.write(tmp_path, "seeds=[0,1]"), tmp_path / "run"
    command = ranks.command(2, "limbeck.cli", "distill", file, "--out", out, "--json")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ranks.ENVIRONMENT
        )
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.terminate()  # unlike a kill, it is passed on to the ranks
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    done = run()
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)  # printed once
    assert verdict == json.loads((out / "verdict.json").read_text())
    assert verdict["cost"]["student_steps"] == 24
    lines = (out / "log.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 3 + 2 * 2 * (3 + 1)  # the teacher's; of two arms and seeds, with a validation each
    two, one = (models.load_model(folder / "student").state_dict() for folder in (out, finished))
    assert two.keys() == one.keys()
    before = bytes_of(out)
    refused = run()
    assert refused.returncode != 0
    assert "holds a run already" in refused.stderr
    assert bytes_of(out) == before
    resumed = run("--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (
        json.loads(resumed.stdout)["results"]["student"]["distilled"]["per_seed"]
        == verdict["results"]["student"]["distilled"]["per_seed"]
    )
