"""Verdicts built from predictions: their numbers, and arms that do not fit together."""

import numpy as np
import pytest

from limbeck.evaluation import Latency, MetricInfo, ModelCost, Predictions, build_verdict
from limbeck.utils.registry import UnknownNameError

from .conftest import make_several


def test_numbers(verdict):
    assert verdict.student.metric == pytest.approx(0.80)
    assert verdict.student.per_seed == pytest.approx([0.80, 0.80])
    assert verdict.gain.value == pytest.approx(0.05)
    assert verdict.retention == pytest.approx(0.80 / 0.90)
    assert verdict.result.retention_ci95[0] < verdict.retention < verdict.result.retention_ci95[1]
    assert (verdict.result.compression, verdict.result.speedup, verdict.result.memory_ratio) == (11, 4, 10)
    assert verdict.result.agreement == pytest.approx(0.90)
    assert verdict.control.parameters == 1_000_000  # the control is the same model
    assert 0 < verdict.student.ece < 1
    assert len(verdict.student.per_class) == 3
    assert verdict.met


def test_a_metric_where_less_is_better():
    scores = {
        name: Predictions(scores=np.full((1, 50), value))
        for name, value in (("teacher", 2.0), ("control", 3.0), ("student", 2.5))
    }
    metric = MetricInfo(name="cross-entropy", higher_is_better=False, percent=False)
    verdict = build_verdict(scores, name="lm", task="language", seeds=[0], metric=metric, targets={"metric": 2.6, "gain": 0.4})
    assert verdict.gain.value == pytest.approx(0.5)
    assert verdict.retention == pytest.approx(0.8)
    assert verdict.sentence() == "kept 80.0 % of the teacher; distillation gave +0.500 [0.500, 0.500]"
    assert verdict.met
    assert verdict.student.ece is None


def scores(seeds=1, items=4):
    return Predictions(scores=np.ones((seeds, items)))


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        ({"control": scores()}, "expected 'student'"),
        ({"student": scores(), "a/b/tutor": scores()}, "a/b/tutor"),
        ({"student": scores(), "a/control": scores()}, "expected 'a/student'"),
        ({"student": scores(2)}, "2 seeds, but the run had 1"),
        ({"student": scores(), "control": scores(items=5)}, "differ in shape; expected pairs"),
    ],
)
def test_arms_that_do_not_belong_together_are_refused(predictions, said):
    with pytest.raises(ValueError, match=said):
        build_verdict(predictions, name="x", task="t", seeds=[0])


def test_different_labels_are_refused():
    logits = np.zeros((1, 3, 2), dtype=np.float32)
    arms = {"student": Predictions(logits, np.array([0, 1, 0])), "control": Predictions(logits, np.array([0, 1, 1]))}
    with pytest.raises(ValueError, match="different labels"):
        build_verdict(arms, name="x", task="t", seeds=[0])
    with pytest.raises(ValueError, match="3 class names"):
        build_verdict({"student": arms["student"]}, name="x", task="t", seeds=[0], classes=["a", "b", "c"])


def test_several_results_without_a_teacher():
    verdict = make_several()
    assert list(verdict.results) == ["a", "b", "both"]
    assert verdict.teacher is None
    assert {name: result.retention for name, result in verdict.results.items()} == dict.fromkeys(verdict.results)
    assert [result.gain.value for result in verdict.results.values()] == pytest.approx([0.05, 0.0, 0.05])
    assert [result.distilled.metric for result in verdict.results.values()] == pytest.approx([0.80, 0.70, 0.85])
    assert list(verdict.results["b"].changes) == ["control"]
    assert verdict.student is verdict.results["a"].distilled
    assert verdict.items == 1000


def test_a_result_of_several_is_that_of_a_run_of_its_own():
    rates = {"teacher": 0.9, "student": 0.8, "control": 0.75}
    early = {f"early/{name}": rate for name, rate in rates.items() if name != "teacher"}
    costs = {name: ModelCost(100, 400, 10, Latency(1.0, 2.0), None) for name in ("teacher", "student")}
    costs["early/student"] = ModelCost(50, 200, 5, Latency(0.5, 1.0), None)
    verdict = make_several(rates | early, model_costs=costs)
    alone = make_several(rates, model_costs=costs)
    assert verdict.only("student").results == alone.results
    result = verdict.results["early"]
    assert result.retention == pytest.approx(alone.retention)
    assert (result.compression, result.speedup, verdict.result.compression) == (2, 2, 1)
    assert result.control.parameters == 50  # a control costs what the student of its result costs
    assert verdict.control.parameters == 100


def test_further_controls_have_gains_of_their_own():
    verdict = make_several({"student": 0.80, "control": 0.75, "smoothing": 0.78, "noise": 0.80})
    assert list(verdict.result.controls) == ["smoothing", "noise"]
    assert verdict.result.controls["smoothing"].metric == pytest.approx(0.78)
    assert {name: gain.value for name, gain in verdict.result.gains.items()} == pytest.approx({"smoothing": 0.02, "noise": 0.0})
    assert verdict.gain.value == pytest.approx(0.05)
    assert set(verdict.result.changes) == {"control", "smoothing", "noise"}


def test_examples_belong_to_the_first_result_or_are_given_by_result():
    from limbeck.evaluation import Example

    one = Example(kind="gained", item=3, seed=0, seeds=1, predictions={})
    assert [len(result.examples) for result in make_several(examples=[one]).results.values()] == [1, 0, 0]
    assert [len(result.examples) for result in make_several(examples={"both": [one]}).results.values()] == [0, 0, 1]


def test_targets_of_results():
    verdict = make_several(targets={"gain": 4, "b.gain": 1, "both.metric": 0.84, "a.metric": 0.9})
    assert {name: target.met for name, target in verdict.targets.items()} == {
        "gain": True,
        "b.gain": False,
        "both.metric": True,
        "a.metric": False,
    }
    assert not verdict.met
    assert set(verdict.only("a").targets) == {"gain", "metric"}
    assert verdict.only("both").met
    with pytest.raises(UnknownNameError, match=r"target 'bot.gain':.*nearest: both"):
        make_several(targets={"bot.gain": 4})
