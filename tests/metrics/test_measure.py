"""Metrics of sets of items: any subset, and the bootstrap over items."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from limbeck import metrics
from limbeck.evaluation import Predictions, build_verdict, load_predictions, save_predictions
from limbeck.evaluation.comparison import rank_ranges
from limbeck.evaluation.statistics import interval, paired_gain, retention
from limbeck.evaluation.verdict import MetricInfo
from limbeck.metrics import METRICS, Measure, Records

RNG = np.random.default_rng(0)
MAP = metrics.get("mean_average_precision")


class LargestError(Measure):
    """The largest error of a set: no function of means."""

    name = "largest_error"
    higher_is_better = False
    percent = False

    def records(self, outputs: Any, target: Any) -> Records:
        return Records({"error": np.abs(outputs[..., 0] - target)})

    def over(self, records: Any, rows: Any) -> float:
        return float(records["error"][rows].max())


def multi_hot(items: int, classes: int, seeds: int = 1, strength: float = 1.0) -> tuple[Any, Any]:
    labels = (RNG.random((items, classes)) < 0.3).astype(np.int64)
    logits = RNG.normal(size=(seeds, items, classes)) + strength * (labels - 0.5)
    return logits.astype(np.float32), labels


@pytest.mark.parametrize("ties", [False, True])
def test_the_mean_average_precision_is_that_of_scikit_learn(ties: bool) -> None:
    logits, labels = multi_hot(300, 5, seeds=2)
    logits = np.round(logits * 2) / 2 if ties else logits
    expected = [average_precision_score(labels, seed, average="macro") for seed in logits]
    assert MAP.compute(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_any_set_of_items_and_each_as_often_as_it_is_drawn() -> None:
    logits, labels = multi_hot(80, 3)
    records = MAP.records(np.round(logits), labels).of_seed(0)
    for rows in (np.arange(80), np.array([3, 3, 4, 9, 70, 70, 70]), RNG.integers(0, 80, 80)):
        applies = labels[rows].any(0)
        expected = np.mean(
            [average_precision_score(labels[rows, at], np.round(logits)[0, rows, at]) for at in np.flatnonzero(applies)]
        )
        assert MAP.over(records, rows) == pytest.approx(expected, abs=1e-12)
    assert MAP.over(records, np.flatnonzero(~labels.any(1))) == 0  # no label applies in any class


def test_unknown_labels_do_not_count() -> None:
    logits, labels = multi_hot(200, 4, seeds=2)
    unknown = RNG.random(labels.shape) < 0.2
    hidden = np.where(unknown, -100, labels)
    scored, f1 = [], []
    for seed in logits:
        known = [~unknown[:, at] for at in range(4)]
        scored.append(np.mean([average_precision_score(labels[k, at], seed[k, at]) for at, k in enumerate(known)]))
        f1.append(np.mean([f1_score(labels[k, at], seed[k, at] > 0) for at, k in enumerate(known)]))
    assert MAP.compute(logits, hidden) == pytest.approx(scored, abs=1e-12)
    assert metrics.get("macro_f1").compute(logits, hidden) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_of_several_labels_is_that_of_scikit_learn(average: str) -> None:
    logits, labels = multi_hot(250, 6, seeds=3)
    labels[:, 2], logits[..., 2] = 0, -1  # neither true nor predicted
    expected = [f1_score(labels, seed > 0, average=average, zero_division=0) for seed in logits]
    assert metrics.get(f"{average}_f1").compute(logits, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "matthews", "pearson"])
def test_a_function_of_means_is_one_of_sets_too(name: str) -> None:
    outputs, target = RNG.normal(size=(2, 50, 1 if name == "pearson" else 3)).astype(np.float32), RNG.integers(0, 3, 50)
    metric, rows = METRICS[name], RNG.integers(0, 50, 30)
    records = metric.records(outputs, target)
    assert metric.over(records.of_seed(1), np.arange(50)) == pytest.approx(metric.compute(outputs, target)[1])
    if name == "accuracy":
        assert metric.over(records.of_seed(1), rows) == pytest.approx((outputs[1].argmax(-1) == target)[rows].mean())


def test_the_bootstrap_draws_items_with_replacement() -> None:
    logits, labels = multi_hot(150, 3)
    value, (low, high) = interval(MAP.records(logits, labels), value=MAP, resamples=600)
    draws = [average_precision_score(labels[rows], logits[0, rows]) for rows in RNG.integers(0, 150, (600, 150))]
    assert value == pytest.approx(average_precision_score(labels, logits[0]), abs=1e-12)
    assert (low, high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.012)


def test_arms_are_paired() -> None:
    logits, labels = multi_hot(200, 3, seeds=2)
    better = MAP.records(logits + 0.15 * labels, labels)
    ours = MAP.records(logits, labels)
    assert paired_gain(ours, ours, value=MAP).ci95 == (0, 0)
    gain = paired_gain(better, ours, value=MAP)
    (low, high), alone = gain.ci95, interval(ours, value=MAP)[1]
    assert low > 0
    assert high - low < 0.4 * (alone[1] - alone[0])
    kept = retention(ours, better, value=MAP)
    assert kept is not None
    assert kept[1][1] < 1
    assert rank_ranges({"a": ours, "b": better}, value=MAP) == {"a": (2, 2), "b": (1, 1)}


def test_one_seed_of_a_teacher_is_compared_with_every_seed() -> None:
    logits, labels = multi_hot(100, 3, seeds=3)
    kept = retention(MAP.records(logits, labels), MAP.records(logits[:1], labels), value=MAP)
    assert kept is not None
    seeds = MAP.compute(logits, labels)
    assert kept[0] == pytest.approx(seeds.mean() / seeds[0])


def test_a_thousand_draws_of_ten_thousand_items_take_seconds() -> None:
    records = MAP.records(*multi_hot(10_000, 4))
    began = time.perf_counter()
    _, (low, high) = interval(records, value=MAP)
    assert 0 < high - low < 0.03
    assert time.perf_counter() - began < 40  # 2 s on an idle core


def test_draws_that_would_take_hours_are_refused() -> None:
    many = Records({"error": np.zeros((1, 2_000_000))})
    with pytest.raises(
        ValueError, match=r"resamples=10,000: each would compute largest_error on 2,000,000 items; 536 or fewer"
    ):
        interval(many, value=LargestError(), resamples=10_000)


def test_records_need_their_metric_and_one_number_of_items() -> None:
    with pytest.raises(ValueError, match="records are read by a metric of sets"):
        interval(Records({"error": np.zeros((1, 9))}))
    with pytest.raises(ValueError, match="with the same items"):
        Records({"a": np.zeros((1, 9)), "b": np.zeros((1, 8))})
    with pytest.raises(ValueError, match=r"\[\(1, 9\), \(1, 8\)\] seeds and items differ|differ in shape"):
        paired_gain(Records({"a": np.zeros((1, 9))}), Records({"a": np.zeros((1, 8))}), value=LargestError())


def test_a_metric_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRICS", dict(METRICS))
    assert metrics.register(LargestError()) is metrics.get("largest_error")
    with pytest.raises(ValueError, match="'largest_error' is registered twice"):
        metrics.register(LargestError())


def test_a_verdict_of_a_metric_of_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setitem(METRICS, "largest_error", LargestError())
    truths = RNG.normal(size=120).astype(np.float32)
    arms = {
        name: Predictions(values=(truths + RNG.uniform(-most, most, (2, 120))).astype(np.float32), truths=truths)
        for name, most in (("teacher", 0.1), ("student", 0.2), ("control", 0.6))
    }
    info = MetricInfo.of(metrics.get("largest_error"))
    save_predictions(arms, tmp_path)
    verdict = build_verdict(load_predictions(tmp_path), name="n", task="regression", seeds=[0, 1], metric=info)
    largest = np.abs(arms["student"].values - truths).max(1)  # type: ignore[operator]
    assert verdict.student.per_seed == pytest.approx(largest, abs=1e-6)
    assert verdict.gain is not None
    assert verdict.gain.value == pytest.approx(np.abs(arms["control"].values - truths).max(1).mean() - largest.mean(), abs=1e-6)  # type: ignore[operator]
    assert verdict.gain.effect
