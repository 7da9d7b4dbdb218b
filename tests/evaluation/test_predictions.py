"""Answers on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.evaluation import Predictions, load_predictions, save_predictions


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
