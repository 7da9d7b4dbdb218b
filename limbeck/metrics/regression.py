"""Metrics of predicted numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def moments(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """x, y, x², y², xy of both sides, standardised first so that no digits cancel: [seeds, items, 5]."""
    x, y = _column(outputs).astype(np.float64), target.astype(np.float64)[None]
    x, y = (_standardize(side) for side in (x, np.broadcast_to(y, x.shape)))
    return np.stack([x, y, x * x, y * y, x * y], -1)


def rank_moments(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The moments of the ranks within the whole test set, equal values at their mean rank; resamples keep these ranks."""
    from scipy.stats import rankdata

    return moments(rankdata(_column(outputs), axis=-1).astype(np.float64)[..., None], rankdata(target))


def correlation(means: Floats) -> Floats:
    """Pearson's correlation from the means of x, y, x², y², xy; 0 if a side is constant."""
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    return ratio(xy - x * y, np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0)))


def squared_error(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """(prediction − target)²: [seeds, items, 1]."""
    return ((_column(outputs).astype(np.float64) - target.astype(np.float64)) ** 2)[..., None]


def _column(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The predicted numbers, [seeds, items]."""
    return outputs.reshape(*outputs.shape[:2], -1)[..., 0]


def _standardize(values: Floats) -> Floats:
    spread = values.std(-1, keepdims=True)
    return np.asarray((values - values.mean(-1, keepdims=True)) / np.where(spread > 0, spread, 1))
