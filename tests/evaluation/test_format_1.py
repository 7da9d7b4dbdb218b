"""Verdicts and comparisons of format 1: every committed one loads, and is shown, compared and reported like a new one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from limbeck.evaluation import (
    ComparisonVerdict,
    Verdict,
    arms_table,
    compare,
    compare_table,
    load_predictions,
    methods_table,
    write_comparison,
    write_report,
)
from limbeck.evaluation.training_curves import read_curves

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
VERDICTS = sorted(path for path in RESULTS.glob("*/verdict.json") if json.loads(path.read_text())["format"] == 1)
COMPARISONS = sorted(path for path in RESULTS.glob("*/comparison.json") if json.loads(path.read_text())["format"] == 1)


def test_some_of_format_1_are_committed():
    assert len(VERDICTS) >= 12
    assert len(COMPARISONS) >= 2


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: path.parent.name)
def test_a_verdict_keeps_its_numbers(path, tmp_path):
    content, verdict = json.loads(path.read_text()), Verdict.load(path)
    former = content["arms"]["alone"]
    if former is None:
        assert verdict.arms.control is None
    else:
        assert verdict.arms.control.model_dump(mode="json") == former
    assert verdict.arms.student.model_dump(mode="json") == content["arms"]["student"]
    assert (verdict.retention, verdict.gain and verdict.gain.value) == (
        content["retention"],
        content["gain"] and content["gain"]["value"],
    )
    assert "alone" not in {*verdict.calibration, *verdict.changes, *(arm for one in verdict.examples for arm in one.answers)}
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path) == verdict
    assert json.loads((tmp_path / "verdict.json").read_text())["format"] == 2


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: path.parent.name)
def test_a_verdict_is_shown(path, tmp_path):
    verdict = Verdict.load(path)
    assert verdict.sentence()
    assert arms_table(verdict).row_count == 8
    assert compare({"a": verdict, "b": verdict})["runs"].keys() == {"a", "b"}
    assert compare_table({"a": verdict, "b": verdict}).row_count == 2
    page = write_report(path.parent, tmp_path / "report.html").read_text()
    assert "Calibration" in page or not verdict.calibration
    assert "What each term compares" in page or verdict.term_graph is None


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_a_comparison_is_shown(path, tmp_path):
    content, verdict = json.loads(path.read_text()), ComparisonVerdict.load(path)
    assert (content["control"], verdict.control) == ("alone", "control")
    assert verdict.rows["control"].metric == content["rows"]["alone"]["metric"]
    assert len(verdict.rows) == len(content["rows"])
    assert methods_table(verdict).row_count == len(verdict.rows) + len(verdict.failed)
    assert write_comparison(path.parent, tmp_path / "report.html").exists()
    verdict.save(tmp_path / "comparison.json")
    assert ComparisonVerdict.load(tmp_path / "comparison.json") == verdict


def test_logs_and_predictions_of_that_time_have_a_control(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"arm": "alone", "seed": 0, "round": 5, "values": {"loss": 2.0}}\n')
    training, _ = read_curves(tmp_path / "log.jsonl")
    assert dict(training["loss"]) == {("control", 0): {5: 2.0}}
    tensors = {"alone.scores": np.ones((1, 3)), "student.scores": np.zeros((1, 3))}
    safetensors.numpy.save_file(tensors, tmp_path / "predictions.safetensors")
    assert load_predictions(tmp_path).keys() == {"control", "student"}
