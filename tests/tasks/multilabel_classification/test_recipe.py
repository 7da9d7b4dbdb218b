"""A recipe of several labels, by command: columns of 0 and 1, export, and evaluation on other data."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from limbeck.cli.command_line import app
from limbeck.evaluation import Verdict
from limbeck.recipe import Recipe, RecipeError
from tests.tasks.multilabel_classification.attributes import ATTRIBUTES, write_digits

ADAM = {"batch_size": 64, "optimizer": {"name": "adam", "lr": 0.01}}


def content(**fields: Any) -> dict[str, Any]:
    parts = {part: {"path": f"{part}.parquet", "input": "x", "label": list(ATTRIBUTES)} for part in ("train", "test")}
    return {
        "name": "attributes",
        "task": "multilabel_classification",
        "metric": "mean_average_precision",
        "data": parts | {"labels": 60},
        "teacher": {"model": "mlp", "args": {"hidden": [64]}, "training": {"epochs": 15} | ADAM},
        "student": {"model": "mlp", "args": {"hidden": [12]}},
        "terms": [{"binary_cross_entropy": {"weight": 0.1}}, {"binary_soft_targets": {"temperature": 2, "weight": 0.9}}],
        "training": {"epochs": 10} | ADAM,
    } | fields


def test_a_run_and_its_evaluation_on_other_data(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path, columns=True)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content()), encoding="utf-8")
    result = CliRunner().invoke(app, ["distill", "r.yaml", "--out", "run"])
    assert result.exit_code == 0, result.output
    verdict = Verdict.load(tmp_path / "run")
    assert verdict.classes == list(ATTRIBUTES)
    assert verdict.gain is not None
    assert verdict.gain.ci95[0] > 0.02
    again = CliRunner().invoke(app, ["evaluate", "run", "--data", "test.parquet", "--input", "x", "--json"])
    assert again.exit_code == 0, again.output
    found = json.loads(again.output[again.output.index("{") :])
    assert found["mean_average_precision"] == pytest.approx(verdict.student.metric, abs=1e-6)


@pytest.mark.parametrize("name", ["soft_targets", "hard_targets", "dist"])
def test_a_softmax_over_independent_labels_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} is a softmax over classes, and the labels of multilabel_classification"):
        Recipe.from_dict(content(terms=[name]), files=False)
    stages = [{"terms": ["binary_cross_entropy"], "epochs": 1}, {"terms": [name], "epochs": 1}]
    with pytest.raises(RecipeError, match="use binary_cross_entropy for labels"):
        Recipe.from_dict({key: value for key, value in content(stages=stages).items() if key != "terms"}, files=False)
