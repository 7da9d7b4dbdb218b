"""Metrics as functions of means over items: equal to the libraries' values, and resampled as such."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from limbeck import metrics
from limbeck.evaluation import Predictions, build_verdict
from limbeck.evaluation.statistics import interval, paired_gain, per_seed
from limbeck.evaluation.verdict import MetricInfo
from limbeck.metrics import METRICS
from limbeck.utils.registry import UnknownNameError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 4])
def test_classification_metrics_are_those_of_scikit_learn(classes: int) -> None:
    logits, labels = RNG.normal(size=(3, 200, classes)).astype(np.float32), RNG.integers(0, classes, 200)
    logits[:, np.arange(200), labels] += 1
    answers = logits.argmax(-1)
    expected = {
        "accuracy": [accuracy_score(labels, seed) for seed in answers],
        "f1": [f1_score(labels, seed, average="binary" if classes == 2 else "macro") for seed in answers],
        "matthews": [matthews_corrcoef(labels, seed) for seed in answers],
    }
    for name, values in expected.items():
        assert metrics.get(name).compute(logits, labels) == pytest.approx(values, abs=1e-12), name


def test_regression_metrics_are_those_of_scipy() -> None:
    truths = RNG.integers(0, 6, 150).astype(np.float32)  # with ties
    values = (truths + RNG.normal(size=(2, 150)) * 2).astype(np.float32)
    expected = {
        "pearson": [scipy.stats.pearsonr(seed, truths)[0] for seed in values],
        "spearman": [scipy.stats.spearmanr(seed, truths)[0] for seed in values],
        "mean_squared_error": ((values - truths) ** 2).mean(1),
    }
    for name, found in expected.items():
        assert metrics.get(name).compute(values[..., None], truths) == pytest.approx(found, abs=1e-5), name


def test_far_from_zero_nothing_cancels() -> None:
    truths = 1e6 + RNG.normal(size=100)
    values = (truths + RNG.normal(size=(1, 100))).astype(np.float64)
    exact = scipy.stats.pearsonr(values[0], truths)[0]
    assert metrics.get("pearson").compute(values[..., None], truths)[0] == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_answers_that_do_not_vary_give_zero(name: str) -> None:
    one = np.zeros((1, 10, 2 if name in ("f1", "matthews") else 1), np.float32)
    one[..., 0] = 1
    target = np.arange(10) % 2
    assert metrics.get(name).compute(one, target)[0] == 0


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="matthews"):
        metrics.get("mathews")


def test_the_interval_of_a_correlation_is_that_of_resampled_pairs() -> None:
    truths = RNG.normal(size=120).astype(np.float32)
    values = (truths + RNG.normal(size=(1, 120))).astype(np.float32)
    pearson = METRICS["pearson"]
    found, (low, high) = interval(pearson.item_statistics(values[..., None], truths), value=pearson.from_means, resamples=2000)
    draws = [np.corrcoef(values[0][rows], truths[rows])[0, 1] for rows in RNG.integers(0, 120, (2000, 120))]
    assert found == pytest.approx(np.corrcoef(values[0], truths)[0, 1], abs=1e-6)
    assert (low, high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.02)


def test_the_mean_written_as_a_function_of_means_is_the_mean() -> None:
    scores = RNG.integers(0, 2, (3, 80)).astype(np.float64)
    accuracy = METRICS["accuracy"]
    plain, written = interval(scores), interval(scores[..., None], value=accuracy.from_means)
    assert plain[0] == pytest.approx(written[0], abs=1e-12)
    assert plain[1] == pytest.approx(written[1], abs=1e-12)
    assert per_seed(scores).tolist() == scores.mean(1).tolist()


def test_identical_arms_differ_by_nothing() -> None:
    logits, labels = RNG.normal(size=(2, 60, 2)), RNG.integers(0, 2, 60)
    cells = METRICS["matthews"].records(logits, labels)
    gain = paired_gain(cells, cells, value=METRICS["matthews"], resamples=200)
    assert gain.value == 0
    assert gain.ci95 == (0, 0)


def test_a_verdict_by_another_metric() -> None:
    labels = RNG.integers(0, 2, 300)
    logits = {arm: RNG.normal(size=(2, 300, 2)).astype(np.float32) for arm in ("teacher", "control", "student")}
    for strength, arm in ((3, "teacher"), (1, "control"), (2, "student")):
        logits[arm][:, np.arange(300), labels] += strength
    arms = {arm: Predictions(logits=found, labels=labels) for arm, found in logits.items()}
    verdict = build_verdict(
        arms, name="cola", task="classification", seeds=[0, 1], metric=MetricInfo(name="matthews", percent=False)
    )
    expected = np.mean([matthews_corrcoef(labels, seed) for seed in logits["student"].argmax(-1)])
    assert verdict.student.metric == pytest.approx(expected)
    assert verdict.gain is not None
    assert verdict.gain.effect
    assert verdict.retention == pytest.approx(expected / verdict.teacher.metric)  # type: ignore[union-attr]


def test_a_verdict_of_numbers() -> None:
    truths = RNG.normal(size=200).astype(np.float32)
    noise = {"teacher": 0.3, "control": 1.5, "student": 0.6}
    arms = {
        arm: Predictions(values=(truths + scale * RNG.normal(size=(2, 200))).astype(np.float32), truths=truths)
        for arm, scale in noise.items()
    }
    verdict = build_verdict(
        arms, name="stsb", task="regression", seeds=[0, 1], metric=MetricInfo(name="spearman", percent=False)
    )
    assert verdict.gain is not None
    assert verdict.gain.value > 0.1
    assert verdict.gain.effect
