"""The verdict: its sentence and its file."""

import json
import os
import re
from pathlib import Path

import pytest

from limbeck.evaluation import Arm, Gain, Result, RunCost, Target, Verdict

from .conftest import RATES, make, make_several, with_result


def test_sentences(verdict):
    assert verdict.sentence().startswith("kept 88.9 % of the teacher at 1/11 of its size; distillation gave +5.0 points [")
    assert "what distillation gave is unknown: the run had no control" in make(control=None).sentence()
    assert make(student=0.7).sentence().split("; ")[1].startswith("distillation did harm: −5.0 points [−")
    said = with_result(verdict, gain=Gain(-0.002, (-0.009, 0.005), 0.6)).sentence()
    assert said.endswith("distillation had no effect: −0.2 points [−0.9, 0.5]")
    assert with_result(verdict, gain=Gain(0.019, (0.012, 0.026), 0.01)).sentence().endswith("gave +1.9 points [1.2, 2.6]")


def test_without_data_a_result_is_told_over_the_better_noise():
    rates = {"teacher": 0.95, "control": 0.9, "gaussian": 0.5, "uniform": 0.6, "student": 0.8}
    seen = make_several(rates, without_data=False, targets={"gain": 10})
    assert seen.told(seen.result)[0] == "control"
    assert not seen.met
    made = make_several(rates, without_data=True, targets={"gain": 10})
    control, gain = made.told(made.result)
    assert (control, round(gain.value, 6)) == ("uniform", 0.2)
    assert made.targets["gain"].value == pytest.approx(20)
    assert made.met
    first, second = made.sentence().split("; ")[1:]
    assert first.startswith("distillation gave +20.0 points [")
    assert first.endswith("] over uniform")
    assert second.startswith("over the control, which learned from data, −10.0 points [")
    alone = make_several({name: rate for name, rate in rates.items() if name != "control"}, without_data=True)
    assert alone.sentence().endswith("] over uniform")


def test_a_narrow_interval_is_not_rounded_onto_zero(verdict):
    said = with_result(verdict, gain=Gain(0.004, (0.0002, 0.008), 0.04)).sentence()
    assert said.endswith("gave +0.40 points [0.02, 0.80]")
    said = with_result(verdict, gain=Gain(-0.0001, (-0.005, 0.004), 0.9)).sentence()
    assert "no effect: 0.0 points" in said


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(11.3, "at 1/11 of its size"), (2.34, "at 1/2.3 of its size"), (1.0, "at its size"), (0.5, "at 2.0 times its size")],
)
def test_size_in_words(verdict, ratio, words):
    assert words in with_result(verdict, compression=ratio).sentence()


def test_without_a_teacher_the_student_speaks_for_itself():
    verdict = make(teacher=None)
    assert verdict.sentence().startswith("reached accuracy 80.0 %; ")
    assert (verdict.retention, verdict.result.compression, verdict.result.agreement) == (None, None, None)


def test_round_trip(verdict, tmp_path):
    path = tmp_path / "verdict.json"
    verdict.save(path)
    assert Verdict.load(path) == Verdict.load(tmp_path) == verdict
    assert os.listdir(tmp_path) == ["verdict.json"]
    bare = make(control=None, teacher=None, model_costs={}, cost=None)
    bare.save(path)
    assert Verdict.load(path) == bare


def test_the_schema_is_format_2(verdict):
    content = verdict.model_dump(mode="json")
    assert set(content) == {
        *("format", "name", "task", "metric", "classes", "seeds", "items", "teacher", "results", "targets", "met", "cost"),
        *("exports", "term_graph", "environment", "shared_items", "test_data", "federation", "made_inputs"),
        "without_data",
    }
    assert list(content["results"]) == ["student"]
    assert set(content["results"]["student"]) == {
        *("distilled", "control", "controls", "retention", "retention_ci95", "gain", "gains", "compression", "speedup"),
        *("memory_ratio", "agreement", "changes", "examples", "early_exits"),
    }
    for arm in (content["teacher"], content["results"]["student"]["distilled"], content["results"]["student"]["control"]):
        assert set(arm) == {
            *("metric", "ci95", "per_seed", "parameters", "file_bytes", "macs", "latency_ms", "peak_memory_bytes", "ece"),
            *("per_class", "calibration"),
        }
    assert set(content["results"]["student"]["gain"]) == {"value", "ci95", "p"}


def test_the_documentation_names_every_field():
    text = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text()
    block = text[text.index("`verdict.json` has these fields") :]
    named = set(re.findall(r"[a-z_0-9]+", block[: block.index("In Python")]))
    for record in (Verdict, Result, Arm, RunCost, Target):
        assert set(record.model_fields) <= named


def test_arms_are_those_that_the_run_has(verdict):
    assert list(verdict.arms) == ["teacher", "control", "student"]
    assert verdict.arms["student"] is verdict.student is verdict.result.distilled
    assert list(make(teacher=None, control=None).arms) == ["student"]


def test_of_several_results_the_first_is_meant(verdict):
    other = verdict.result.model_copy(update={"gain": None, "retention": 0.5})
    both = verdict.model_copy(update={"results": {"a": verdict.result, "b": other}})
    assert (both.gain, both.retention) == (verdict.gain, verdict.retention)
    assert both.only("a").sentence() == verdict.sentence()


def test_the_sentence_of_several_results_names_them():
    said = make_several().sentence().split("; ")
    assert said[0].startswith("a: reached accuracy 80.0 %, distillation gave +5.0 points [")
    assert said[1] == "b: reached accuracy 70.0 %, distillation had no effect: 0.0 points [0.0, 0.0]"
    assert said[2].startswith("both: reached accuracy 85.0 %, distillation gave")
    assert (
        make_several({"a/student": 0.5, "b/student": 0.6}).sentence()
        == "a: reached accuracy 50.0 %; b: reached accuracy 60.0 %"
    )


def test_the_sentence_of_one_result_of_another_name_does_not_name_it():
    assert make_several({"second/student": 0.8, "second/control": 0.7}).sentence().startswith("reached accuracy 80.0 %; ")


def test_without_a_control_on_labels_the_sentence_has_the_gain_over_another():
    said = make_several({"student": 0.8, "smoothing": 0.75}).sentence()
    assert said.startswith("reached accuracy 80.0 %; distillation gave +5.0 points [")
    assert said.endswith("] over smoothing")


def test_several_results_are_written_and_read_back(tmp_path):
    verdict = make_several({**RATES, "a/noise": 0.6, "teacher": 0.9}, targets={"b.retention": 0.9})
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path) == verdict


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*/verdict.json")), ids=str)
def test_committed_verdicts_are_read(path):
    verdict = Verdict.load(path)
    assert list(verdict.results) == ["student"]
    known = {"initial", "gaussian", "uniform"}  # of students that start from weights, and of those that see no data
    assert set(verdict.result.controls) == set(verdict.result.gains) <= known
    assert verdict.sentence().startswith("kept " if verdict.teacher is not None else "reached ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not a verdict"),
        ('{"model": "x"}', "not a verdict"),
        ('{"format": 3, "arms": {}}', "format 3.*upgrade"),
        ('{"format": 3, "results": {}}', "format 3.*upgrade"),
        ('{"format": 1, "arms": {}}', "not a verdict of format 1"),
        ('{"format": 1, "arms": []}', "not a verdict of format 1"),
        ('{"format": 1, "arms": {"student": 3}, "examples": 1}', "not a verdict of format 1"),
        ('{"format": 2, "results": {}}', "not a verdict of format 2"),
    ],
)
def test_load_says_what_is_wrong(tmp_path, text, said):
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        Verdict.load(tmp_path)


def test_load_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no verdict here"):
        Verdict.load(tmp_path / "verdict.json")


def test_a_save_that_fails_leaves_the_old_file(verdict, tmp_path, monkeypatch):
    path = tmp_path / "verdict.json"
    verdict.save(path)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        make(student=0.5).save(path)
    assert os.listdir(tmp_path) == ["verdict.json"]
    assert json.loads(path.read_text())["results"]["student"]["distilled"]["metric"] == pytest.approx(0.8)


def test_a_verdict_in_a_notebook_is_a_line_and_a_small_table():
    verdict = make()
    assert repr(verdict) == str(verdict) == f"<Verdict {verdict.name!r}: {verdict.sentence()}>"
    html = verdict._repr_html_()
    assert len(html) < 1000
    assert html.count("<tr>") == 4  # a title, teacher, control, student
    odd = verdict.model_copy(update={"name": "<b>x"})
    assert "&lt;b&gt;x" in odd._repr_html_()
