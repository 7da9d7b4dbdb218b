"""What the arms of a run answered on the test set, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from limbeck.evaluation.arms import current_name
from limbeck.metrics.measures import Measure
from limbeck.tasks.text_predictions import TextPredictions
from limbeck.utils.atomic_files import write_atomic

FILE = "predictions.safetensors"
LABELS = "labels"
TRUTHS = "truths"
SUFFIXES = ("logits", "scores", "values")


@dataclass(frozen=True)
class Predictions:
    """What one arm answered on the test set.

    Give `logits` [seeds, items, classes] and `labels` [items] for classification, `values` [seeds, items] and `truths`
    [items] for regression, or `scores` [seeds, items] of any metric that is a mean over items, [seeds, items, k] of one that is
    made of k means (beside others, the scores are the metric, and calibration and agreement come from the logits). `told` is
    what was said in words, unit by unit of such scores; it is for the page and not kept on disk.
    """

    logits: NDArray[np.float32] | None = None
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    values: NDArray[np.float32] | None = None
    truths: NDArray[np.float32] | None = None
    text_predictions: TextPredictions | None = None

    def __post_init__(self) -> None:
        for name in ("logits", "labels", "scores", "values", "truths"):  # tensors are welcome
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
            raise ValueError("values hold NaN or infinity; the model did not survive its training")

    def _check_logits(self, logits: NDArray[np.float32]) -> None:
        if self.labels is None or logits.ndim != 3 or self.labels.shape != logits.shape[1:2]:
            shape = None if self.labels is None else self.labels.shape
            raise ValueError(f"logits {logits.shape} and labels {shape} are not [seeds, items, classes] and [items]")
        if not np.isfinite(logits).all():
            raise ValueError("logits hold NaN or infinity; the model did not survive its training")
        wrong = self.labels[(self.labels < 0) | (self.labels >= logits.shape[2])]
        if wrong.size:
            raise ValueError(f"label {wrong[0]} is out of range for {logits.shape[2]} classes; test items need labels")

    def item_scores(self) -> NDArray[np.float64]:
        """The scores as they were given; else whether the largest logit is at the label, [seeds, items]."""
        return self.right().astype(np.float64) if self.scores is None else self.scores.astype(np.float64)

    def parts(self, measure: Measure | None) -> NDArray[np.float64]:
        """The numbers of each item that the metric is made of: [seeds, items] of one that is a mean, else [seeds, items, k]."""
        if self.scores is not None or measure is None:
            return self.item_scores()
        if self.values is not None and self.truths is not None:
            return measure.parts(self.values[..., None], self.truths)
        assert self.logits is not None
        assert self.labels is not None
        return measure.parts(self.logits, self.labels)

    def right(self) -> NDArray[np.bool_]:
        """[seeds, items]: whether the largest logit is at the label."""
        assert self.logits is not None
        assert self.labels is not None
        return np.asarray(self.logits.argmax(axis=-1) == self.labels)


def save_predictions(predictions: Mapping[str, Predictions], folder: Path) -> None:
    """Keep what every arm answered in `predictions.safetensors`: runs are compared item by item with it, without models.

    Logits are written as differences from the largest of their item, in float16: the largest stays the largest, and no
    probability changes by more than 0.0002.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for arm, answers in predictions.items():
        if answers.logits is not None and answers.labels is not None:
            top = answers.logits.max(axis=-1, keepdims=True)
            tensors[f"{arm}.logits"] = np.maximum(answers.logits - top, np.finfo(np.float16).min).astype(np.float16)
            tensors[LABELS] = answers.labels
        if answers.values is not None and answers.truths is not None:
            tensors[f"{arm}.values"], tensors[TRUTHS] = answers.values, answers.truths
        if answers.scores is not None:
            tensors[f"{arm}.scores"] = answers.scores
    write_atomic(folder / FILE, safetensors.numpy.save({name: np.ascontiguousarray(part) for name, part in tensors.items()}))


def load_predictions(folder: Path) -> dict[str, Predictions]:
    """What `save_predictions` wrote into a run's folder, by arm.

    Raises:
        FileNotFoundError: there is none; the run has not ended, or was made before answers were kept.
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
