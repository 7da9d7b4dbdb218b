"""Verdicts built from predictions: their numbers, and arms that do not fit together."""

import numpy as np
import pytest

from limbeck.evaluation import MetricInfo, Predictions, build_verdict


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
        ({"student": scores(), "tutor": scores()}, "tutor"),
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
