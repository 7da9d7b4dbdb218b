"""A run on a table: from recipe to verdict, and the student on new rows."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import limbeck
from limbeck import models
from limbeck.cli import app
from limbeck.data.table import TableEncoder
from limbeck.evaluation import Verdict
from limbeck.export import formats
from limbeck.recipe import Recipe, RecipeError, data_sizes
from limbeck.runs import RunError, evaluate_file, evaluate_run, run_recipe
from tests.data.loading.files import parquet

DATA = Path(os.environ.get("LIMBECK_DATA", "/")) / "data" / "heart_disease"
TRAINING = {"epochs": 2, "batch_size": 64, "trackers": [], "threads": 1}


def rows(folder: Path, name: str, shift: int = 0, **changes: list[Any]) -> str:
    columns: dict[str, list[Any]] = {
        "age": [shift + row % 40 if row % 7 else None for row in range(120)],
        "site": ["ab"[row % 2] for row in range(120)],
        "label": [int(row % 40 > 20) for row in range(120)],
    }
    return str(parquet(folder / name, **columns | changes))


def recipe(train: str | dict[str, Any], test: str, **data: Any) -> Recipe:
    fields: dict[str, Any] = {
        "name": "table",
        "data": {"train": train, "test": test, "validation": 0.2, **data},
        "teacher": {"model": "mlp", "training": TRAINING},
        "student": {"model": "mlp", "args": {"hidden": [4]}},
        "terms": ["hard_targets", {"soft_targets": {"temperature": 2}}],
        "training": TRAINING,
    }
    return Recipe.from_dict(fields)


def test_a_run_keeps_the_statistics_of_its_training_rows(tmp_path: Path) -> None:
    train, test, run = rows(tmp_path, "train.parquet"), rows(tmp_path, "test.parquet", shift=5), tmp_path / "run"
    made = recipe(train, test)
    verdict = run_recipe(made, run, progress=False)
    assert verdict.student is not None
    kept = TableEncoder.load(run / "student")
    assert kept == made.reader.table_encoder
    assert kept.numeric[0].mean < 25  # neither the test rows nor the new ones have a part in it
    assert evaluate_run(run, test).as_json()["accuracy"] == pytest.approx(verdict.student.metric)
    Path(train).unlink()  # new rows need the student's folder only
    far = rows(tmp_path, "far.parquet", shift=1000, extra=["x"] * 120)
    assert evaluate_run(run, far).as_json()["items"] == 120
    with pytest.raises(ValueError, match="no column 'site'"):
        evaluate_run(run, str(parquet(tmp_path / "few.parquet", age=[1, 2], label=[0, 1])))


def test_an_exported_file_reads_a_table_as_its_run_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    train, test, run = rows(tmp_path, "train.parquet"), rows(tmp_path, "test.parquet", shift=5), tmp_path / "run"
    verdict = run_recipe(recipe(train, test), run, progress=False)
    file = run / "exports" / "student-fp32.onnx"
    formats.get("onnx").write(models.load_model(run / "student"), file, torch.zeros(2, 4))
    assert evaluate_file(file, test).as_json()["accuracy"] == pytest.approx(verdict.student.metric)
    shutil.copy(file, tmp_path / "student.onnx")
    with pytest.raises(RunError, match=r"test.parquet: it is a table, whose encoding is kept in the run of .*in its folder"):
        evaluate_file(tmp_path / "student.onnx", test)


def test_validation_rows_have_no_part_in_the_statistics(tmp_path: Path) -> None:
    made = recipe(rows(tmp_path, "train.parquet"), rows(tmp_path, "test.parquet"))
    loaded = made.load()
    own = recipe(rows(tmp_path, "train.parquet"), rows(tmp_path, "test.parquet"))
    raw = own.reader.raw_items(own.data.train)
    assert made.reader.table_encoder == TableEncoder.fit(raw.split(0.2)[1])
    assert data_sizes(loaded.train).inputs == len(made.reader.table_encoder.names) == 4


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = rows(tmp_path, "train.parquet")
    made = recipe({"path": path, "table": {"categorical": ["age"]}}, path, validation=0)
    assert data_sizes(made.load().test).inputs == 41  # 40 ages and a flag: the test data has the columns of the training data
    with pytest.raises(RecipeError, match="one column is the input:, or a table: is"):
        recipe({"path": path, "table": True, "input": "age"}, path)


def test_python_reads_tables_from_their_paths(tmp_path: Path) -> None:
    train, test = rows(tmp_path, "train.parquet"), rows(tmp_path, "test.parquet")
    training = limbeck.Training(length=limbeck.steps(2), batch_size=32)
    outcome = limbeck.distill(
        models.get("mlp", inputs=4, classes=2),
        lambda: models.get("mlp", inputs=4, classes=2, hidden=[2]),
        train,
        test,
        training=training,
        folder=tmp_path / "run",
        allow_shared_items=True,
    )
    assert outcome.verdict.student is not None
    assert (tmp_path / "run" / "student" / "table.json").exists()


@pytest.mark.skipif(not DATA.exists(), reason="needs $LIMBECK_DATA/data/heart_disease")
def test_heart_disease_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "heart.yaml").write_text(
        f"""
        name: heart
        data: {{train: {DATA}/train.parquet, test: {DATA}/test.parquet, validation: 0.2}}
        teacher: {{model: mlp, training: {{epochs: 5, trackers: []}}}}
        student: {{model: mlp, args: {{hidden: [4]}}}}
        terms: [hard_targets, soft_targets]
        training: {{epochs: 5, trackers: []}}
        """
    )
    done = CliRunner().invoke(app, ["distill", str(tmp_path / "heart.yaml"), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    verdict = Verdict.load(tmp_path / "run")
    assert verdict.teacher.metric > 0.7
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--data", f"{DATA}/test.parquet", "--json"])
    assert done.exit_code == 0, done.output
    assert verdict.student is not None
    assert json.loads(done.output)["accuracy"] == pytest.approx(verdict.student.metric)
