"""What models are judged by, each as a function of means over items.

Accuracy is the mean of one number an item (0 or 1). Matthews' correlation is no mean, but a function of the means of the
confusion table's cells; Pearson's correlation one of the means of x, y, x², y² and xy; what is counted in tokens one of two
means over texts, of what was counted and of the tokens. Written like this, any of them can be resampled: draw items, take the
means again, apply the function (the bootstrap of a smooth function of means).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.utils.registry import UnknownNameError

Floats: TypeAlias = NDArray[np.float64]
Parts: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.generic]], Floats]
Value: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Measure:
    """A metric of predictions.

    Attributes:
        parts: outputs [seeds, items, classes] (class logits; the predicted number where there is one column) and targets
            [items] → [seeds, items, k], the numbers whose means the metric is a function of.
        value: means [..., k] → the metric [...].
        higher_is_better: whether more is better.
        percent: whether it is a fraction, read as a percentage.
    """

    name: str
    parts: Parts
    value: Value
    higher_is_better: bool = True
    percent: bool = True

    def of(self, outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
        """The metric of each seed."""
        return self.value(self.parts(outputs, target).mean(axis=1))


def mean_of_one(means: Floats) -> Floats:
    """Of metrics that are means themselves."""
    return np.asarray(means[..., 0])


def right(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """1 where the largest logit is at the label, else 0."""
    return np.asarray(outputs.argmax(-1) == target, dtype=np.float64)[..., None]


def confusion(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The cell of the confusion table that each item falls into: [seeds, items, classes²], rows are labels."""
    classes = outputs.shape[-1]
    cell = target.astype(np.int64)[None] * classes + outputs.argmax(-1)
    return np.asarray(np.eye(classes * classes)[cell])


def f1_value(cells: Floats) -> Floats:
    """2·TP / (2·TP + FP + FN) of class 1 where there are two classes, as GLUE has it; else the mean over the classes."""
    table = _table(cells)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    score = _ratio(2 * hits, table.sum(-1) + table.sum(-2))
    return np.asarray(score[..., 1] if table.shape[-1] == 2 else score.mean(-1))


def matthews_value(cells: Floats) -> Floats:
    """Matthews' correlation coefficient, for several classes in Gorodkin's form (2004); 0 where a side has one class only."""
    table = _table(cells)
    hits, labels, answers = np.trace(table, axis1=-2, axis2=-1), table.sum(-1), table.sum(-2)
    above = hits - (labels * answers).sum(-1)
    below = np.sqrt((1 - (answers**2).sum(-1)) * (1 - (labels**2).sum(-1)))
    return _ratio(above, below)


def products(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """x, y, x², y², xy, measured from their means and in their deviations, so that nothing cancels."""
    x, y = outputs.reshape(*outputs.shape[:2], -1)[..., 0].astype(np.float64), target.astype(np.float64)[None]
    x, y = (_standard(side) for side in (x, np.broadcast_to(y, x.shape)))
    return np.stack([x, y, x * x, y * y, x * y], -1)


def rank_products(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The same of ranks within the whole test set, equal values at their mean rank; resamples keep these ranks."""
    from scipy.stats import rankdata

    x = outputs.reshape(*outputs.shape[:2], -1)[..., 0]
    return products(rankdata(x, axis=-1).astype(np.float64)[..., None], rankdata(target))


def correlation_value(means: Floats) -> Floats:
    """Pearson's correlation from the means of x, y, x², y², xy; 0 where a side does not vary."""
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    return _ratio(xy - x * y, np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0)))


def squared_error(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    x = outputs.reshape(*outputs.shape[:2], -1)[..., 0].astype(np.float64)
    return ((x - target.astype(np.float64)) ** 2)[..., None]


def tokens_found(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """Of texts [seeds, texts, 3], (hidden tokens, those of them that were found, nats of all): what was found, of how much."""
    return np.asarray(outputs[..., [1, 0]], dtype=np.float64)


def token_nats(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """Of the same texts: the nats, over how many tokens."""
    return np.asarray(outputs[..., [2, 0]], dtype=np.float64)


def ratio_value(means: Floats) -> Floats:
    """The first mean over the second: a mean over tokens, whatever texts they stand in."""
    return _ratio(means[..., 0], means[..., 1])


def perplexity_value(means: Floats) -> Floats:
    """e to the nats a token."""
    return np.asarray(np.exp(ratio_value(means)))


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("accuracy", right, mean_of_one),
        Measure("f1", confusion, f1_value),
        Measure("matthews", confusion, matthews_value, percent=False),
        Measure("pearson", products, correlation_value, percent=False),
        Measure("spearman", rank_products, correlation_value, percent=False),
        Measure("answer_f1", right, mean_of_one),  # of extracted answers: their task scores each question
        Measure("exact_match", right, mean_of_one),
        Measure("masked_accuracy", tokens_found, ratio_value),
        Measure("masked_cross_entropy", token_nats, ratio_value, higher_is_better=False, percent=False),
        Measure("masked_perplexity", token_nats, perplexity_value, higher_is_better=False, percent=False),
        Measure("probe_accuracy", right, mean_of_one),  # of embeddings: what their task makes logits of
        Measure("knn_accuracy", right, mean_of_one),
        Measure("neighbour_overlap", right, mean_of_one),  # their task scores each text
        Measure("mean_squared_error", squared_error, mean_of_one, higher_is_better=False, percent=False),
    )
}


def measure(name: str) -> Measure:
    """The metric called `name`; an unknown one raises with the nearest names."""
    if name not in MEASURES:
        raise UnknownNameError("metric", name, sorted(MEASURES))
    return MEASURES[name]


def _table(cells: Floats) -> Floats:
    classes = int(np.sqrt(cells.shape[-1]).round())
    return cells.reshape(*cells.shape[:-1], classes, classes)


def _standard(values: Floats) -> Floats:
    spread = values.std(-1, keepdims=True)
    return np.asarray((values - values.mean(-1, keepdims=True)) / np.where(spread > 0, spread, 1))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(np.asarray(above, dtype=np.float64)), where=below > 1e-12)
