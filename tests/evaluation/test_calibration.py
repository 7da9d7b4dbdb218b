"""Calibration error and its bins, against a loop and torchmetrics."""

import numpy as np
import pytest
import torch

from limbeck.evaluation import calibration
from limbeck.evaluation.calibration import calibration_bins, expected_calibration_error, softmax, top_probability

from .report import made


def slow_ece(probabilities, labels, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, p in enumerate(probabilities) if b / bins < max(p) <= (b + 1) / bins]
        if inside:
            confidence = np.mean([max(probabilities[i]) for i in inside])
            accuracy = np.mean([np.argmax(probabilities[i]) == labels[i] for i in inside])
            total += len(inside) / len(labels) * abs(confidence - accuracy)
    return total


def test_calibration_against_a_loop_and_torchmetrics():
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(5), size=400), rng.integers(0, 5, 400)
    ours = expected_calibration_error(p, y)
    assert ours == pytest.approx(slow_ece(p, y, 15))
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), num_classes=5, n_bins=15)
    assert ours == pytest.approx(float(theirs), abs=1e-5)
    assert expected_calibration_error(np.eye(3), [0, 1, 2]) == 0


def test_the_largest_probability_is_that_of_softmax_bit_for_bit(monkeypatch):
    monkeypatch.setattr(calibration, "BLOCK", 50)  # several blocks
    logits = (10 * np.random.default_rng(0).normal(size=(2, 33, 7))).astype(np.float32)
    assert np.array_equal(top_probability(logits), softmax(logits).max(-1))


def test_bins_hold_every_prediction_and_give_the_calibration_error():
    answers = made.answers(5)
    found = {arm: calibration_bins(own.confidence(), own.correct()) for arm, own in answers.items()}
    assert sum(bin.count for bin in found["student"]) == 3 * 600
    total = sum(bin.count for bin in found["teacher"])
    error = sum(bin.count * abs(bin.confidence - bin.accuracy) for bin in found["teacher"]) / total
    teacher = answers["teacher"]
    assert error == pytest.approx(expected_calibration_error(softmax(teacher.logits[0]), teacher.labels))


def test_the_verdict_holds_the_bins_of_every_arm():
    verdict, answers = made.verdict(), made.answers(5)
    assert list(verdict.arms) == ["teacher", "control", "student"]
    for arm, found in verdict.arms.items():
        assert found.calibration == calibration_bins(answers[arm].confidence(), answers[arm].correct())
