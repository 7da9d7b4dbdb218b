"""A recipe run in a folder: what it leaves, on a full disk and in several processes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from limbeck import models, runs
from limbeck.engine import checkpoint
from limbeck.engine.checkpoint import CheckpointError
from limbeck.engine.metrics_log import LogFile
from limbeck.evaluation import Verdict
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.runs import run_recipe
from limbeck.utils.disk_full import DiskFullError
from tests import ranks, tiny
from tests.runs.run_files import bytes_of


def test_what_a_run_leaves(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock",
        ".limbeck-run",
        "recipe.yaml",
        "inputs.json",
        "seen.safetensors",
        "student",
        "control",
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
    figures = runs.evaluate_run(finished, "digits", split="test").as_json()
    assert figures["accuracy"] == pytest.approx(verdict["results"]["student"]["distilled"]["metric"])
    assert figures["ece"] == pytest.approx(verdict["results"]["student"]["distilled"]["ece"])


def test_a_full_disk_in_the_middle_of_a_run(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the places where a run writes fails once; each time it is resumed, and ends as a quiet one."""
    folder = tmp_path / "run"
    errors = (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    )

    def full_at(call: int, original: Any) -> Any:
        calls = iter(range(1000))

        def write(*args: Any, **options: Any) -> Any:
            if next(calls) == call:
                raise errors[call % 2]
            return original(*args, **options)

        return write

    for owner, name, call, error in (
        (checkpoint, "save_file", 1, CheckpointError),
        (LogFile, "write", 1, DiskFullError),
        (models, "save_model", 0, DiskFullError),
        (checkpoint, "save_file", 3, CheckpointError),
        (os, "replace", 5, DiskFullError),
        (Verdict, "save", 0, DiskFullError),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full_at(call, getattr(owner, name)))
            with pytest.raises(error, match=r"No space left.*make room.*--resume"):
                run_recipe(tiny.recipe(), folder, resume=True, progress=False)
    run_recipe(tiny.recipe(), folder, resume=True, progress=False)
    for file in ("student/model.safetensors", "teacher/model.safetensors", "log.jsonl"):
        assert (folder / file).read_bytes() == (finished / file).read_bytes(), file


def test_of_two_ranks_one_writes(tmp_path: Path) -> None:
    without_batch_norm = ["student={model: mlp, args: {inputs: 64, hidden: [8]}}", "teacher.model=mlp"]  # ranks do not share it
    changes = ["seeds=[0,1]", *without_batch_norm, "teacher.args={inputs: 64, hidden: [32]}"]
    with_default_trackers = ["training.trackers=[tensorboard]", "teacher.training.trackers=[tensorboard]"]
    assert TrainingSpec.model_validate({}).trackers == ["tensorboard"]
    file, out = tiny.write(tmp_path, *changes, *with_default_trackers), tmp_path / "run"
    run_recipe(tiny.recipe(*changes), one_rank := tmp_path / "one", progress=False)
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
    for name in ("student", "control", "teacher"):
        two, one = (models.load_model(folder / name).state_dict() for folder in (out, one_rank))
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, rtol=0, atol=1e-6)
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


def test_a_run_on_its_own_training_data_is_refused_before_a_teacher_is_trained(tmp_path: Path) -> None:
    """Without splits both are the whole data set, a part of which is the validation data."""
    whole = ['data.train={"path": "digits"}', 'data.test={"path": "digits"}']
    with pytest.raises(ValueError, match=r"of 1,797 items are in the training data too .*nothing new to measure on"):
        run_recipe(tiny.recipe(*whole), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_test_folder_named_as_training_data_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    own = 'data.train={"path": "digits", "split": "test"}'
    with pytest.raises(ValueError, match="nothing new to measure on"):
        run_recipe(tiny.recipe(own, "data.labels=20", "data.unlabelled=false"), tmp_path / "run", progress=False)
    allowed = (own, "data.allow_shared_items=true", "control=false")
    with pytest.warns(UserWarning, match="results on them say little about new data"):
        verdict = run_recipe(tiny.recipe(*allowed), tmp_path / "run", progress=False)
    assert verdict.shared_items is not None
    assert verdict.shared_items.count == verdict.shared_items.items == verdict.items
    assert "Test items seen before" in (tmp_path / "run" / "report.html").read_text()
