"""The verdict: its numbers, its words, its targets and its file."""

import json
import os

import numpy as np
import pytest

from limbeck.evaluation import Gain, Metric, Predictions, Verdict, check_targets, environment, judge

from .conftest import make


def test_numbers(verdict):
    assert verdict.arms.student.metric == pytest.approx(0.80)
    assert verdict.arms.student.per_seed == pytest.approx([0.80, 0.80])
    assert verdict.gain.value == pytest.approx(0.05)
    assert verdict.retention == pytest.approx(0.80 / 0.90)
    assert verdict.retention_ci95[0] < verdict.retention < verdict.retention_ci95[1]
    assert (verdict.compression, verdict.speedup, verdict.memory_ratio) == (11, 4, 10)
    assert verdict.agreement == pytest.approx(0.90)
    assert verdict.arms.control.parameters == 1_000_000  # the control is the same model
    assert 0 < verdict.arms.student.ece < 1
    assert len(verdict.arms.student.per_class) == 3
    assert verdict.met


def test_sentences(verdict):
    assert verdict.sentence().startswith("kept 88.9 % of the teacher at 1/11 of its size; distillation gave +5.0 points [")
    assert "what distillation gave is unknown: the run had no control" in make(control=None).sentence()
    assert make(student=0.7).sentence().split("; ")[1].startswith("distillation did harm: −5.0 points [−")
    said = verdict.model_copy(update={"gain": Gain(-0.002, (-0.009, 0.005), 0.6)}).sentence()
    assert said.endswith("distillation had no effect: −0.2 points [−0.9, 0.5]")
    assert (
        verdict.model_copy(update={"gain": Gain(0.019, (0.012, 0.026), 0.01)})
        .sentence()
        .endswith("gave +1.9 points [1.2, 2.6]")
    )


def test_a_narrow_interval_is_not_rounded_onto_zero(verdict):
    said = verdict.model_copy(update={"gain": Gain(0.004, (0.0002, 0.008), 0.04)}).sentence()
    assert said.endswith("gave +0.40 points [0.02, 0.80]")
    said = verdict.model_copy(update={"gain": Gain(-0.0001, (-0.005, 0.004), 0.9)}).sentence()
    assert "no effect: 0.0 points" in said


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(11.3, "at 1/11 of its size"), (2.34, "at 1/2.3 of its size"), (1.0, "at its size"), (0.5, "at 2.0 times its size")],
)
def test_size_in_words(verdict, ratio, words):
    assert words in verdict.model_copy(update={"compression": ratio}).sentence()


def test_without_a_teacher_the_student_speaks_for_itself():
    verdict = make(teacher=None)
    assert verdict.sentence().startswith("reached accuracy 80.0 %; ")
    assert (verdict.retention, verdict.compression, verdict.agreement) == (None, None, None)


def test_a_metric_where_less_is_better():
    scores = {
        name: Predictions(scores=np.full((1, 50), value))
        for name, value in (("teacher", 2.0), ("control", 3.0), ("student", 2.5))
    }
    metric = Metric(name="cross-entropy", higher_is_better=False, percent=False)
    verdict = judge(scores, name="lm", task="language", seeds=[0], metric=metric, targets={"metric": 2.6, "gain": 0.4})
    assert verdict.gain.value == pytest.approx(0.5)
    assert verdict.retention == pytest.approx(0.8)
    assert verdict.sentence() == "kept 80.0 % of the teacher; distillation gave +0.500 [0.500, 0.500]"
    assert verdict.met
    assert verdict.arms.student.ece is None


def test_targets_met_and_missed():
    goals = {
        "gain": 4.5,
        "retention": 0.85,
        "compression": 11,
        "speedup": 4,
        "memory_ratio": 10,
        "parameters": 1_000_000,
        "metric": 0.8,
        "file_bytes": 4_000_000,
        "latency_ms": 2.5,
        "ece": 1,
    }
    verdict = make(targets=goals)
    assert {name: target.met for name, target in verdict.targets.items()} == dict.fromkeys(goals, True)
    assert verdict.targets["gain"].value == pytest.approx(5.0)  # points
    harder = {name: goal * (0.9 if name in ("parameters", "file_bytes", "latency_ms") else 1.2) for name, goal in goals.items()}
    harder["ece"] = 0.001
    verdict = make(targets=harder)
    assert not any(target.met for target in verdict.targets.values())
    assert not verdict.met


def test_a_gain_whose_interval_touches_zero_is_not_met():
    verdict = make(student=0.76, control=0.75, items=100, targets={"gain": 0.5})
    assert verdict.gain.value == pytest.approx(0.01)
    assert verdict.gain.ci95[0] == 0
    assert not verdict.targets["gain"].met
    assert "no effect" in verdict.targets["gain"].reason


def test_a_target_that_cannot_be_computed_is_not_met_and_says_why():
    targets = make(control=None, teacher=None, profiles={}, targets={"gain": 0, "retention": 0.1, "latency_ms": 9}).targets
    assert not any(target.met for target in targets.values())
    assert "no control" in targets["gain"].reason
    assert "no teacher" in targets["retention"].reason
    assert "latency" in targets["latency_ms"].reason


def test_unknown_targets_are_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"retension.*retention"):
        check_targets({"retension": 1})
    with pytest.raises(ValueError, match="expected a number"):
        check_targets({"gain": float("nan")})


def test_round_trip(verdict, tmp_path):
    path = tmp_path / "verdict.json"
    verdict.save(path)
    assert Verdict.load(path) == Verdict.load(tmp_path) == verdict
    assert os.listdir(tmp_path) == ["verdict.json"]
    bare = make(control=None, teacher=None, profiles={}, cost=None)
    bare.save(path)
    assert Verdict.load(path) == bare


def test_the_schema_is_format_2(verdict):
    content = verdict.model_dump(mode="json")
    assert set(content) == {
        *("format", "name", "task", "metric", "classes", "arms", "retention", "retention_ci95", "gain", "compression"),
        *("speedup", "memory_ratio", "agreement", "targets", "met", "cost", "exports", "seeds", "environment"),
        *("items", "calibration", "changes", "examples", "term_graph"),
    }
    assert list(content["arms"]) == ["teacher", "control", "student"]
    assert set(content["arms"]["student"]) == {
        *("metric", "ci95", "per_seed", "parameters", "file_bytes", "macs", "latency_ms", "peak_memory_bytes", "ece"),
        "per_class",
    }
    assert set(content["gain"]) == {"value", "ci95", "p"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not a verdict"),
        ('{"model": "x"}', "not a verdict"),
        ('{"format": 3, "arms": {}}', "format 3.*upgrade"),
        ('{"format": 1, "arms": {}}', "not a verdict of format 1"),
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
    assert json.loads(path.read_text())["arms"]["student"]["metric"] == pytest.approx(0.8)


def scores(seeds=1, items=4):
    return Predictions(scores=np.ones((seeds, items)))


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        ({"control": scores()}, "expected 'student'"),
        ({"student": scores(), "tutor": scores()}, "tutor"),
        ({"student": scores(2)}, "2 seeds, but the run had 1"),
        ({"student": scores(), "control": scores(items=5)}, "no pairs"),
    ],
)
def test_arms_that_do_not_belong_together_are_refused(predictions, said):
    with pytest.raises(ValueError, match=said):
        judge(predictions, name="x", task="t", seeds=[0])


def test_different_labels_are_refused():
    logits = np.zeros((1, 3, 2), dtype=np.float32)
    arms = {"student": Predictions(logits, np.array([0, 1, 0])), "control": Predictions(logits, np.array([0, 1, 1]))}
    with pytest.raises(ValueError, match="different labels"):
        judge(arms, name="x", task="t", seeds=[0])
    with pytest.raises(ValueError, match="3 class names"):
        judge({"student": arms["student"]}, name="x", task="t", seeds=[0], classes=["a", "b", "c"])


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (None, None, "need logits"),
        (np.zeros((3, 2)), np.zeros(3, int), "are not"),
        (np.zeros((1, 3, 2)), None, "are not"),
        (np.full((1, 3, 2), np.nan), np.zeros(3, int), "NaN"),
        (np.zeros((1, 3, 2)), np.array([0, 1, -100]), "-100 is out of range"),
    ],
)
def test_predictions_are_checked(logits, labels, said):
    with pytest.raises(ValueError, match=said):
        Predictions(logits, labels)


def test_environment_names_no_place():
    found = environment()
    assert {"python", "torch", "limbeck", "platform", "cpu", "threads", "cores"} <= set(found)
    assert os.uname().nodename not in json.dumps(found)
    assert "/" not in str(found["platform"])
