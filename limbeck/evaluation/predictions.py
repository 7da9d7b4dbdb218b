"""Predictions of the arms of a run on the test set, in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from limbeck.data import Items
from limbeck.evaluation.arms import current_name
from limbeck.evaluation.calibration import top_probability
from limbeck.metrics import Measure, Metric, Records
from limbeck.metrics.metric import STATISTICS
from limbeck.tasks import Task, task_type
from limbeck.tasks.predictions import TaskPredictions
from limbeck.tasks.text_predictions import TextPredictions
from limbeck.tasks.top_logits import ARRAYS, WIDTH, TopLogits, half
from limbeck.utils.atomic_files import write_atomic

FILE = "predictions.safetensors"
LABELS = "labels"
TRUTHS = "truths"
OWN = "own:"  # begins the names of what tasks save themselves
SUFFIXES = ("logits", "scores", "values")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one arm on the test set.

    Args:
        logits, labels: for classification, [seeds, items, classes] and [items].
        top_logits: instead of logits, the largest of each item, for many classes.
        values, truths: for regression, [seeds, items] and [items].
        scores: for any other metric, [seeds, items] if it is a mean over items, [seeds, items, k] if it is a function of k
            means. With scores beside logits, the metric comes from the scores, calibration and agreement from the logits.
        text_predictions: of the units of the scores; for the report, not saved.
        own: predictions of a type of the task's own, instead of all others.

    Raises:
        ValueError: shapes do not fit, values are not finite, or a label is out of range.
    """

    logits: NDArray[np.float32] | None = None
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    values: NDArray[np.float32] | None = None
    truths: NDArray[np.float32] | None = None
    text_predictions: TextPredictions | None = None
    own: TaskPredictions | None = None
    top_logits: TopLogits | None = None
    _known: dict[str, NDArray[np.float64] | Records] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, task: Task, outputs: Iterable[Tensor], items: Items) -> Predictions:
        """The predictions of one arm from the outputs of its models, of which the task keeps what it needs one by one."""
        return cls(**task.to_predictions([task.condense(each, items) for each in outputs], items))

    def __post_init__(self) -> None:
        for name in ("logits", "labels", "scores", "values", "truths"):  # accepts tensors
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else np.asarray(value))
        if all(part is None for part in (self.logits, self.top_logits, self.scores, self.values, self.own)):
            raise ValueError("predictions need logits with labels, values with truths, or scores")
        if self.logits is not None:
            self._check_logits(self.logits)
        if self.top_logits is not None:
            self._check_labels(self.top_logits.rest.shape, self.top_logits.width)
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
        if self.labels is None or logits.ndim != 3:
            shape = None if self.labels is None else self.labels.shape
            raise ValueError(f"logits {logits.shape} and labels {shape} are not [seeds, items, classes] and [items]")
        self._check_labels(logits.shape[:2], logits.shape[2])
        if not np.isfinite(logits).all():
            raise ValueError("logits hold NaN or infinity; the training diverged")

    def _check_labels(self, shape: tuple[int, ...], classes: int) -> None:
        if self.labels is None or self.labels.shape != shape[1:]:
            labels = None if self.labels is None else self.labels.shape
            raise ValueError(f"logits {(*shape, classes)} and labels {labels} are not [seeds, items, classes] and [items]")
        wrong = self.labels[(self.labels < 0) | (self.labels >= classes)]
        if wrong.size:
            raise ValueError(f"label {wrong[0]} is out of range for {classes} classes; test items need labels")

    @property
    def classes(self) -> int | None:
        """The number of classes; None if the predictions are no classes."""
        if self.top_logits is not None:
            return self.top_logits.width
        return None if self.logits is None else self.logits.shape[2]

    def choice(self) -> NDArray[np.int64]:
        """The predicted classes, [seeds, items]."""
        if self.top_logits is not None:
            return self.top_logits.choice
        assert self.logits is not None
        return np.asarray(self.logits.argmax(-1))

    def confidence(self) -> NDArray[np.float64]:
        """The probabilities of the predicted classes, [seeds, items]."""
        if self.top_logits is not None:
            return self.top_logits.confidence
        assert self.logits is not None
        return top_probability(self.logits)

    def as_texts(self) -> TextPredictions | None:
        """The predictions as text for the report, if they are neither classes nor numbers; None if there are none."""
        return self.text_predictions if self.own is None else self.own.shown()

    def item_scores(self) -> NDArray[np.float64]:
        """The given scores, or else whether the prediction is correct, [seeds, items]."""
        if self.own is not None:
            return self.own.quality()
        return self.correct().astype(np.float64) if self.scores is None else self.scores.astype(np.float64)

    def item_statistics(self, metric: Measure | None) -> NDArray[np.float64] | Records:
        """What the metric reads of each item: numbers whose means it is computed from, [seeds, items], or [seeds, items, k] for
        k means; records for a metric of another kind."""
        if self.own is not None:
            if metric is None:
                raise ValueError(f"{self.own.task}: its metric is not registered; add it by limbeck.metrics.register")
            return self.own.item_statistics(metric)
        if self.scores is not None or metric is None:
            return self.item_scores()
        if self.top_logits is not None:
            if metric.name not in self._known:  # it is asked for several times
                self._known[metric.name] = self._statistics_of_top(self.top_logits, metric)
            return self._known[metric.name]
        outputs, target = self._outputs()
        return metric.item_statistics(outputs, target) if isinstance(metric, Metric) else metric.records(outputs, target)

    def _statistics_of_top(self, top: TopLogits, metric: Measure) -> NDArray[np.float64] | Records:
        """Block by block, so that never all logits are in memory."""
        assert self.labels is not None
        found, start = [], 0
        for logits in top.dense(self.labels):
            target = self.labels[start : (start := start + logits.shape[1])]
            found.append(metric.records(logits, target).arrays)
        arrays = {name: np.concatenate([each[name] for each in found], axis=1) for name in found[0]}
        return np.asarray(arrays[STATISTICS]) if isinstance(metric, Metric) else Records(arrays)

    def _outputs(self) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        """Outputs [seeds, items, …] and targets [items]."""
        if self.values is not None and self.truths is not None:
            return self.values[..., None], self.truths
        assert self.logits is not None
        assert self.labels is not None
        return self.logits, self.labels

    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label, or else what the task calls correct, [seeds, items]."""
        if self.own is not None:
            return self.own.correct()
        return np.asarray(self.choice() == self.labels)


def save_predictions(predictions: Mapping[str, Predictions], folder: Path) -> None:
    """Saves the predictions of all arms as `predictions.safetensors`, from which runs are compared item by item.

    Logits are saved in float16 as differences from the largest of their item: the predicted class stays the same, and no
    probability changes by more than 0.0002. Of many classes those of `TopLogits` are saved.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    kinds: dict[str, str] = {}  # by arm, the task whose type of predictions it has
    for arm, found in predictions.items():
        if found.logits is not None and found.labels is not None:
            top = found.logits.max(axis=-1, keepdims=True)
            tensors[f"{arm}.logits"] = half(found.logits - top)
            tensors[LABELS] = found.labels
        if found.top_logits is not None and found.labels is not None:
            tensors |= {f"{arm}.{name}": array for name, array in found.top_logits.arrays().items()}
            tensors[LABELS] = found.labels
        if found.values is not None and found.truths is not None:
            tensors[f"{arm}.values"], tensors[TRUTHS] = found.values, found.truths
        if found.scores is not None:
            tensors[f"{arm}.scores"] = found.scores
        if found.own is not None:
            tensors |= {f"{OWN}{arm}.{name}": array for name, array in found.own.arrays().items()}
            kinds[arm] = found.own.task
    content = {name: np.ascontiguousarray(part) for name, part in tensors.items()}
    write_atomic(folder / FILE, safetensors.numpy.save(content, kinds or None))


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
        with safe_open(path, "numpy") as file:
            kinds: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    found: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OWN):
            continue
        written, _, kind = name.rpartition(".")
        arm = current_name(written)
        if arm and kind in SUFFIXES:
            found.setdefault(arm, {})[kind] = tensor
            if kind == "logits":
                found[arm][LABELS] = tensors[LABELS]
            if kind == "values":
                found[arm][TRUTHS] = tensors[TRUTHS]
        if arm and kind == WIDTH:
            top = TopLogits.from_arrays({name: tensors[f"{written}.{name}"] for name in ARRAYS})
            found.setdefault(arm, {}).update(top_logits=top, labels=tensors[LABELS])
    own = {arm: Predictions(own=_load_own(arm, task, tensors, path)) for arm, task in kinds.items()}
    return {arm: Predictions(**parts) for arm, parts in found.items()} | own


def _load_own(arm: str, task: str, tensors: Mapping[str, NDArray[np.generic]], path: Path) -> TaskPredictions:
    """The predictions of an arm, of the type that their task names."""
    kind = task_type(task).predictions_type
    if kind is None:
        raise ValueError(f"{path}: predictions of the task {task!r}, which is not registered here; give its file with --plugin")
    start = f"{OWN}{arm}."
    return kind.from_arrays({name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)})
