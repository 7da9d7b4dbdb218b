"""A task is one file: a recipe can name it once the file is given as a plugin."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, f1_score
from typer.testing import CliRunner

from limbeck import metrics, models, objectives, tasks
from limbeck.cli.command_line import app
from limbeck.evaluation import load_predictions
from tests.docs.pages import DOCS, blocks
from tests.tasks.multilabel_classification.attributes import ATTRIBUTES

GUIDE = (DOCS / "guide" / "new-task.md").read_text(encoding="utf-8")
(TASK,) = blocks(GUIDE, "python", ".part")
(RECIPE,) = blocks(GUIDE, "yaml", ".plugin")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files of the guide and real digits with attributes; afterwards the registries are as they were."""
    for registry in (objectives.registry, tasks.registry, models.registry):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
        monkeypatch.setattr(registry, "_citations", dict(registry._citations))
    before = dict(metrics.METRICS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "independent_labels.py").write_text(TASK, encoding="utf-8")
    (tmp_path / "attributes.yaml").write_text(RECIPE, encoding="utf-8")
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for name, rows in (("train", order[:700]), ("test", order[1200:])):
        texts = [";".join(name for name, members in ATTRIBUTES.items() if digit in members) for digit in digits.target[rows]]
        pixels = list((digits.data[rows] / 16).astype(np.float32))
        pq.write_table(pa.table({"x": pixels, "label": texts}), tmp_path / f"{name}.parquet")
    yield tmp_path
    for name in set(metrics.METRICS) - set(before):
        del metrics.METRICS[name]


def test_the_task_of_the_guide_runs_from_recipe_to_report(folder):
    given = ["distill", "attributes.yaml", "--plugin", "independent_labels.py", "--out", "run"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    verdict = json.loads((folder / "run" / "verdict.json").read_text(encoding="utf-8"))
    assert (verdict["task"], verdict["metric"]["name"]) == ("independent_labels", "label_f1")
    assert verdict["classes"] == sorted(ATTRIBUTES)
    student = load_predictions(folder / "run")["student"].own
    expected = f1_score(student.labels, student.logits[0] > 0, average="macro")
    assert verdict["results"]["student"]["distilled"]["metric"] == pytest.approx(expected)
    assert expected > 0.85
    precision = metrics.get("label_precision").compute(student.logits, student.labels)
    assert precision[0] == pytest.approx(average_precision_score(student.labels, student.logits[0]))
    assert "independent labels" in (folder / "run" / "report.html").read_text(encoding="utf-8")


def test_the_set_metric_of_the_guide_judges_too(folder):
    change = ["--set", "metric=label_precision", "--set", "training.epochs=3", "--set", "teacher.training.epochs=3"]
    given = ["distill", "attributes.yaml", "--plugin", "independent_labels.py", "--out", "run", *change]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    verdict = json.loads((folder / "run" / "verdict.json").read_text(encoding="utf-8"))
    arm = verdict["results"]["student"]["distilled"]
    assert arm["ci95"][0] < arm["metric"] < arm["ci95"][1]
