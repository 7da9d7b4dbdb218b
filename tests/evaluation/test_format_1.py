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
    assert len(VERDICTS) >= 3  # fewer each time that a recipe is measured again
    assert COMPARISONS


def known(content):
    """Without what is null, which kept verdicts leave out."""
    if isinstance(content, dict):
        return {key: known(value) for key, value in content.items() if value is not None}
    return [known(value) for value in content] if isinstance(content, list) else content


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: path.parent.name)
def test_a_verdict_keeps_its_numbers(path, tmp_path):
    content, verdict = json.loads(path.read_text()), Verdict.load(path)
    for former, arm in (("teacher", verdict.teacher), ("alone", verdict.control), ("student", verdict.student)):
        had = content["arms"][former]
        if had is not None:
            had["calibration"] = content.get("calibration", {}).get(former, [])
        assert known(arm and arm.model_dump(mode="json")) == known(had)
    found = verdict.model_dump(mode="json")
    for field in ("name", "task", "metric", "classes", "seeds", "targets", "met", "cost", "environment"):
        assert known(found[field]) == known(content.get(field))
    exports = zip(found["exports"], content["exports"], strict=True)
    assert all(known({name: one[name] for name in had}) == known(had) for one, had in exports)
    result = found["results"]["student"]
    for field in ("retention", "retention_ci95", "gain", "compression", "speedup", "memory_ratio", "agreement"):
        assert known(result[field]) == known(content.get(field))
    renamed = {"alone": "control", "teacher": "teacher", "student": "student"}
    assert result["changes"] == {renamed[arm]: counts for arm, counts in content.get("changes", {}).items()}
    assert len(result["examples"]) == len(content.get("examples", []))
    for now, before in zip(result["examples"], content.get("examples", []), strict=True):
        own = {arm: {name: part for name, part in one.items() if part is not None} for arm, one in now["predictions"].items()}
        was = {
            arm: {name: part for name, part in one.items() if part is not None} for arm, one in before.pop("answers").items()
        }
        assert own == {renamed[arm]: answer for arm, answer in was.items()}
        assert now["span"] == before.pop("where", None)
        assert {name: now[name] for name in before} == before
    assert (found["term_graph"] is None) == (content.get("wiring") is None)
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path) == verdict
    assert json.loads((tmp_path / "verdict.json").read_text())["format"] == 2


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: path.parent.name)
def test_a_verdict_is_shown(path, tmp_path):
    verdict = Verdict.load(path)
    assert verdict.sentence()
    assert arms_table(verdict).row_count == (7 if verdict.student.ece is None else 8)  # figures that no arm has are left out
    assert compare({"a": verdict, "b": verdict})["runs"].keys() == {"a", "b"}
    assert compare_table({"a": verdict, "b": verdict}).row_count == 2
    page = write_report(path.parent, tmp_path / "report.html").read_text()
    assert "Calibration" in page or not verdict.student.calibration
    assert "What each term compares" in page or verdict.term_graph is None


def test_fields_of_the_first_verdicts_suffice(tmp_path):
    content = json.loads((RESULTS / "cifar10-resnet8" / "verdict.json").read_text())
    for name in ("items", "calibration", "changes", "examples", "wiring"):
        content.pop(name, None)
    (tmp_path / "verdict.json").write_text(json.dumps(content))
    verdict = Verdict.load(tmp_path)
    assert (verdict.items, verdict.student.calibration, verdict.term_graph) == (None, [], None)
    assert (verdict.result.changes, verdict.result.examples) == ({}, [])


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
