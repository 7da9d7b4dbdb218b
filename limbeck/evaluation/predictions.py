"""Predictions of the arms of a run on the test set, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from limbeck.evaluation.arms import current_name
from limbeck.metrics import Metric
from limbeck.tasks.text_predictions import TextPredictions
from limbeck.utils.atomic_files import write_atomic

FILE = "predictions.safetensors"
LABELS = "labels"
TRUTHS = "truths"
SUFFIXES = ("logits", "scores", "values")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one arm on the test set.

    Args:
        logits, labels: for classification, [seeds, items, classes] and [items].
        values, truths: for regression, [seeds, items] and [items].
        scores: for any other metric, [seeds, items] if it is a mean over items, [seeds, items, k] if it is a function of k
            means. With scores beside logits, the metric comes from the scores, calibration and agreement from the logits.
        text_predictions: of the units of the scores; for the report, not saved.

    Raises:
        ValueError: shapes do not fit, values are not finite, or a label is out of range.
    """

    logits: NDArray[np.float32] | None = None
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    values: NDArray[np.float32] | None = None
    truths: NDArray[np.float32] | None = None
    text_predictions: TextPredictions | None = None

    def __post_init__(self) -> None:
        for name in ("logits", "labels", "scores", "values", "truths"):  # accepts tensors
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else np.asarray(value))
        if self.logits is None and self.scores is None and self.values is None:
            raise ValueError("predictions need logits with labels, values with truths, or scores")
        if self.logits is not None:
            self._check_logits(self.logits)
        if self.values is not None:
            self._check_values(self.values)
        if self.scores is not None and self.scores.ndim not in (2, 3):
            raise ValueError(f"scores {self.scores.shape} are neither [seeds, items] nor [seeds, items, k]")

    def _check_values(self, values: NDArray[np.float32]) -> None:
        if self.truths is None or values.ndim != 2 or self.truths.shape != values.shape[1:]:
            shape = None if self.truths is None else self.truths.shape
            raise ValueError(f"values {values.shape} and truths {shape} are not [seeds, items] and [items]")
        if not np.isfinite(values).all():
            raise ValueError("values hold NaN or infinity; the training diverged")

    def _check_logits(self, logits: NDArray[np.float32]) -> None:
        if self.labels is None or logits.ndim != 3 or self.labels.shape != logits.shape[1:2]:
            shape = None if self.labels is None else self.labels.shape
            raise ValueError(f"logits {logits.shape} and labels {shape} are not [seeds, items, classes] and [items]")
        if not np.isfinite(logits).all():
            raise ValueError("logits hold NaN or infinity; the training diverged")
        wrong = self.labels[(self.labels < 0) | (self.labels >= logits.shape[2])]
        if wrong.size:
            raise ValueError(f"label {wrong[0]} is out of range for {logits.shape[2]} classes; test items need labels")

    def item_scores(self) -> NDArray[np.float64]:
        """The given scores, or else whether the predicted class is correct, [seeds, items]."""
        return self.correct().astype(np.float64) if self.scores is None else self.scores.astype(np.float64)

    def item_statistics(self, metric: Metric | None) -> NDArray[np.float64]:
        """The numbers whose means the metric is computed from: [seeds, items], or [seeds, items, k] for k means."""
        if self.scores is not None or metric is None:
            return self.item_scores()
        if self.values is not None and self.truths is not None:
            return metric.item_statistics(self.values[..., None], self.truths)
        assert self.logits is not None
        assert self.labels is not None
        return metric.item_statistics(self.logits, self.labels)

    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label, [seeds, items]."""
        assert self.logits is not None
        assert self.labels is not None
        return np.asarray(self.logits.argmax(axis=-1) == self.labels)


def save_predictions(predictions: Mapping[str, Predictions], folder: Path) -> None:
    """Saves the predictions of all arms as `predictions.safetensors`, from which runs are compared item by item.

    Logits are saved in float16 as differences from the largest of their item: the predicted class stays the same, and no
    probability changes by more than 0.0002.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for arm, found in predictions.items():
        if found.logits is not None and found.labels is not None:
            top = found.logits.max(axis=-1, keepdims=True)
            tensors[f"{arm}.logits"] = np.maximum(found.logits - top, np.finfo(np.float16).min).astype(np.float16)
            tensors[LABELS] = found.labels
        if found.values is not None and found.truths is not None:
            tensors[f"{arm}.values"], tensors[TRUTHS] = found.values, found.truths
        if found.scores is not None:
            tensors[f"{arm}.scores"] = found.scores
    write_atomic(folder / FILE, safetensors.numpy.save({name: np.ascontiguousarray(part) for name, part in tensors.items()}))


def load_predictions(folder: Path) -> dict[str, Predictions]:
    """Loads the predictions in a run's folder, by arm.

    Raises:
        FileNotFoundError: there is no such file; the run has not ended.
        ValueError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: no predictions here; a run writes them when it ends")
    try:
        tensors = safetensors.numpy.load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    found: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, tensor in tensors.items():
        arm, _, kind = name.rpartition(".")
        arm = current_name(arm)
        if arm and kind in SUFFIXES:
            found.setdefault(arm, {})[kind] = tensor
            if kind == "logits":
                found[arm][LABELS] = tensors[LABELS]
            if kind == "values":
                found[arm][TRUTHS] = tensors[TRUTHS]
    return {arm: Predictions(**parts) for arm, parts in found.items()}  # type: ignore[arg-type]
