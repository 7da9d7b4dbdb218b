"""Predictions of several labels of each item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics import Floats, Measure, Metric, Records
from limbeck.metrics.counts import class_f1
from limbeck.metrics.metric import ratio
from limbeck.metrics.multilabel import label_counts
from limbeck.tasks.predictions import TaskPredictions
from limbeck.tasks.text_predictions import TextPredictions

NOTHING = "no label"


class MultilabelPredictions(TaskPredictions):
    """Logits of each label, and which labels apply. A label is predicted if its logit is above 0.

    Args:
        logits: [seeds, items, classes].
        labels: [items, classes]: 1 applies, 0 does not, -100 unknown.
        names: of the classes; default: their numbers.

    Raises:
        ValueError: shapes that do not fit, or logits that are not finite.
    """

    task = "multilabel_classification"

    def __init__(self, logits: NDArray[Any], labels: NDArray[Any], names: Sequence[str] | None = None) -> None:
        self.logits, self.labels = np.asarray(logits, np.float32), np.asarray(labels, np.int64)
        if self.logits.ndim != 3 or self.labels.shape != self.logits.shape[1:]:
            shapes = f"logits {self.logits.shape} and labels {self.labels.shape}"
            raise ValueError(f"{shapes} are not [seeds, items, classes] and [items, classes]")
        if not np.isfinite(self.logits).all():
            raise ValueError("logits hold NaN or infinity; the training diverged")
        self.names = list(names or map(str, range(self.labels.shape[1])))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"logits": self.logits, "labels": self.labels}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MultilabelPredictions:
        return cls(arrays["logits"], arrays["labels"])

    def item_statistics(self, metric: Measure) -> Floats | Records:
        if isinstance(metric, Metric):
            return metric.item_statistics(self.logits, self.labels)
        return metric.records(self.logits, self.labels)

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Whether each label is predicted, [seeds, items, classes]; False for those that are unknown."""
        return np.asarray((self.logits > 0) & (self.labels >= 0))

    def quality(self) -> Floats:
        """The labels that are both predicted and true among those that are either (Jaccard); 1 if there are neither."""
        applies = self.labels == 1
        union = (self.predicted | applies).sum(-1).astype(np.float64)
        shared = (self.predicted & applies).sum(-1).astype(np.float64)
        return np.where(union == 0, 1.0, ratio(shared, union))

    def per_class(self) -> list[float | None]:
        """F1 of each class, the mean over seeds; None for a class that applies to no item."""
        values = class_f1(label_counts(self.logits, self.labels).mean(1)).mean(0)
        applies = (self.labels == 1).any(0)
        return [float(value) if known else None for value, known in zip(values, applies, strict=True)]

    def agreement(self, other: TaskPredictions) -> float | None:
        """The share of labels that both predict, or both do not."""
        if not isinstance(other, MultilabelPredictions) or other.logits.shape[1:] != self.logits.shape[1:]:
            return None
        return float(((self.logits > 0) == (other.logits > 0)).mean())

    def shown(self) -> TextPredictions:
        """The names of the predicted labels. The confidence is that of the least sure label."""
        confidence = (1 / (1 + np.exp(-np.abs(self.logits.astype(np.float64))))).min(-1)
        sets = np.array([[self._text(row) for row in seed] for seed in self.predicted], dtype=object)
        return TextPredictions(
            choice=sets,
            text=lambda seed, item: str(sets[seed, item]),
            confidence=np.asarray(confidence),
            truth=lambda item: self._text(self.labels[item] == 1),
        )

    def _text(self, applies: NDArray[np.bool_]) -> str:
        return ", ".join(self.names[at] for at in np.flatnonzero(applies)) or NOTHING
