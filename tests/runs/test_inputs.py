"""A run is resumed with the files that it was started with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.recipe import Recipe
from limbeck.runs import RunError, run_recipe
from tests import tiny


def write(path: Path, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.rand(48, 64, generator=draw)
    table = {"input": rows.tolist(), "label": (torch.arange(48) % 10).tolist()}
    pq.write_table(pa.table(table), path)


def recipe(folder: Path) -> Recipe:
    mlp = "{model: mlp, args: {inputs: 64, hidden: [4]}, training: {steps: 2, trackers: []}}"
    student = "{model: mlp, args: {inputs: 64, hidden: [4]}}"
    data = f"{{train: {folder}/train.parquet, test: {folder}/test.parquet}}"
    return tiny.recipe(f"data={data}", f"teacher={mlp}", f"student={student}", "training.steps=2")


def test_training_data_that_changed_between_kill_and_resume_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", 0)
    write(tmp_path / "test.parquet", 1)
    run = tmp_path / "run"
    run_recipe(recipe(tmp_path), run, progress=False)
    kept = json.loads((run / "inputs.json").read_text())
    assert set(kept) == {"training data of the teacher", "training data", "test data"}
    run_recipe(recipe(tmp_path), run, resume=True, progress=False)
    write(tmp_path / "train.parquet", 2)
    with pytest.raises(
        RunError, match=r"started with other files: training data of the teacher, training data changed since\. .*--force"
    ):
        run_recipe(recipe(tmp_path), run, resume=True, progress=False)
    assert json.loads((run / "inputs.json").read_text()) == kept
    run_recipe(recipe(tmp_path), run, force=True, progress=False)


@pytest.mark.parametrize("content", ["", "[1]", "null", "3", "[" * 100_000])
def test_damaged_notes_are_named_with_the_remedy(tmp_path: Path, finished: Path, content: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "inputs.json").write_text(content)
    with pytest.raises(RunError, match=r"inputs\.json is damaged, .* delete it if they are the same"):
        run_recipe(tiny.recipe(), folder, resume=True, progress=False)
