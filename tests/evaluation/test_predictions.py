"""Answers on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck import metrics, tasks
from limbeck.evaluation import Predictions, build_verdict, load_predictions, save_predictions
from limbeck.evaluation.verdict import MetricInfo
from limbeck.tasks.predictions import TaskPredictions
from limbeck.tasks.text_predictions import TextPredictions


def test_what_was_answered_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    logits = (rng.normal(size=(3, 500, 10)) * 6).astype(np.float32)
    scores = rng.random((3, 500))
    save_predictions({"student": Predictions(logits, labels), "control": Predictions(scores=scores)}, tmp_path)
    found = load_predictions(tmp_path)
    kept = found["student"]
    assert kept.logits is not None
    assert np.array_equal(kept.item_scores(), Predictions(logits, labels).item_scores())
    assert np.abs(softmax(kept.logits) - softmax(logits)).max() < 2e-4
    assert np.array_equal(found["control"].item_scores(), scores)


def test_scores_of_several_means_come_back_and_no_others_are_taken(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((2, 40, 3))
    save_predictions({"student": Predictions(scores=scores)}, tmp_path)
    assert np.array_equal(load_predictions(tmp_path)["student"].item_statistics(None), scores)
    with pytest.raises(ValueError, match="neither"):
        Predictions(scores=scores[0, 0])


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no predictions here"):
        load_predictions(tmp_path)
    (tmp_path / "predictions.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match="is damaged"):
        load_predictions(tmp_path)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


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
def test_predictions_are_checked(logits: Any, labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Predictions(logits, labels)


class Guesses(TaskPredictions):
    """Numbers that are right within a tolerance."""

    task = "guesses"

    def __init__(self, values: Any, truths: Any) -> None:
        self.values, self.truths = np.asarray(values), np.asarray(truths)

    def arrays(self) -> Any:
        return {"values": self.values, "truths": self.truths}

    @classmethod
    def from_arrays(cls, arrays: Any) -> Guesses:
        return cls(**arrays)

    def item_statistics(self, metric: Any) -> Any:
        return metric.item_statistics(self.values[..., None], self.truths)

    def quality(self) -> Any:
        return (np.abs(self.values - self.truths) < 0.5).astype(np.float64)

    def shown(self) -> TextPredictions:
        return TextPredictions(self.values, lambda seed, item: f"about {self.values[seed, item]:.0f}")

    def per_class(self) -> Any:
        return [0.5, None]

    def agreement(self, other: TaskPredictions) -> float:
        return 0.25


class Guessing(tasks.Regression):
    name = "guesses"
    predictions_type = Guesses


def test_predictions_of_a_tasks_own_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.registry, "_parts", dict(tasks.registry._parts))
    tasks.registry.register("guesses")(Guessing)
    rng = np.random.default_rng(0)
    truths = rng.normal(size=90).astype(np.float32)
    spreads = {"teacher": 0.2, "student": 0.4, "control": 1.2}
    arms = {
        arm: Predictions(own=Guesses(truths + rng.normal(size=(2, 90)) * spread, truths)) for arm, spread in spreads.items()
    }
    save_predictions(arms | {"lone/student": Predictions(scores=np.ones((2, 90)))}, tmp_path)
    found = load_predictions(tmp_path)
    assert found.pop("lone/student").scores is not None
    metric = MetricInfo.of(metrics.get("mean_squared_error"))
    verdict = build_verdict(found, name="n", task="guesses", seeds=[0, 1], metric=metric)
    expected = np.square(arms["student"].own.values - truths).mean()  # type: ignore[union-attr]
    assert verdict.student.metric == pytest.approx(expected)
    assert verdict.gain is not None
    assert verdict.gain.effect
    assert (verdict.student.per_class, verdict.result.agreement) == ([0.5, None], 0.25)
    assert verdict.result.changes["control"].total == 180
    assert verdict.student.ece is None
    monkeypatch.delitem(tasks.registry._parts, "guesses")
    with pytest.raises(ValueError, match="the task 'guesses', which is not registered here; give its file with --plugin"):
        load_predictions(tmp_path)


def test_files_of_other_predictions_name_no_task(tmp_path: Path) -> None:
    save_predictions({"student": Predictions(scores=np.ones((1, 4)))}, tmp_path)
    assert b"__metadata__" not in (tmp_path / "predictions.safetensors").read_bytes()


def test_arms_of_several_results_are_saved_by_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20)
    names = ("b/student", "a/student", "a/control", "v1.5/student", "teacher")
    given = {name: Predictions(rng.normal(size=(1, 20, 3)).astype(np.float32), labels) for name in names}
    save_predictions(given, tmp_path)
    found = load_predictions(tmp_path)
    assert set(found) == set(names)
    for name, own in given.items():
        kept = found[name].logits
        assert kept is not None
        assert own.logits is not None
        assert np.array_equal(kept.argmax(-1), own.logits.argmax(-1))
