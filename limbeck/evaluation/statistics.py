"""How sure the numbers are: bootstrap intervals over test items and over seeds.

Scores are arrays `[seeds, items]`, one number per run and test item (accuracy: 0 or 1); the metric is their mean. One
resample draws as many items as there are, and as many seeds as there are, with replacement; all arms of a comparison
see the same draw. That pairing removes what the arms share, above all that some items are hard for everybody.

Items with equal scores in every arm and seed are interchangeable, so a draw of items is a multinomial count over the
distinct columns. For accuracies these are a handful, whatever the size of the test set, and ten thousand resamples
are one small matrix product. Nothing is approximated by this. Scores that are all distinct (losses) take seconds.

A metric that is no mean (a correlation) has several numbers an item, `[seeds, items, k]`, and a `value` that makes the
metric of their means; see `limbeck.metrics.metric`. Each resample takes the means again, seed by seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from limbeck.metrics import Floats, FromMeans, first_mean

Interval: TypeAlias = tuple[float, float]

RESAMPLES = 10_000
_CELLS = 1 << 22  # resamples are drawn in blocks of at most this many counts, to bound memory


@dataclass(frozen=True)
class Gain:
    """What distillation gave: student minus control, in the metric's own unit (accuracy 0.021: 2.1 points), positive
    when the student is better (for a metric where less is better: control minus student).

    Attributes:
        value: the difference of the two means.
        ci95: 95 % interval of the paired bootstrap.
        p: two-sided probability of a difference this clear without an effect.
    """

    value: float
    ci95: Interval
    p: float

    @property
    def effect(self) -> bool:
        """Whether the interval keeps clear of zero; otherwise this is reported as no effect."""
        return not self.ci95[0] <= 0.0 <= self.ci95[1]


def interval(
    scores: ArrayLike, *, value: FromMeans | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, Interval]:
    """The metric of `scores`, its mean over the seeds, and its 95 % percentile interval."""
    checked = _checked(scores)
    return float(per_seed(checked, value).mean()), _percentiles(resampled([checked], resamples, seed, value)[0])


def per_seed(scores: Floats, value: FromMeans | None = None) -> Floats:
    """The metric of each seed, `[seeds]`."""
    parts = scores if scores.ndim == 3 else scores[..., None]
    return (value or first_mean)(parts.mean(axis=1))


def per_class(scores: ArrayLike, labels: ArrayLike, classes: int | None = None) -> list[float | None]:
    """Mean score of each class over its items and all seeds (for accuracy: the recall); None where the test set has
    no item.

    `scores` [seeds, items] or [items], `labels` [items].
    """
    values, y = np.atleast_2d(np.asarray(scores, dtype=np.float64)).mean(axis=0), np.asarray(labels)
    count = classes if classes is not None else int(y.max()) + 1
    sums, items = np.bincount(y, weights=values, minlength=count), np.bincount(y, minlength=count)
    return [float(total / n) if n else None for total, n in zip(sums, items, strict=True)]


def paired_gain(
    student: ArrayLike,
    control: ArrayLike,
    *,
    higher_is_better: bool = True,
    value: FromMeans | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Gain:
    """The gain of `student` over `control`, of one shape: equal rows come from equal seeds, columns from equal items.

    p is twice the smaller share of resampled differences on either side of zero, counting one more than was seen
    (Davison and Hinkley 1997, 4.2.3), so that it is never zero.
    """
    ours, theirs = _checked(student), _checked(control)
    if ours.shape != theirs.shape:
        raise ValueError(f"student scores {ours.shape} and control scores {theirs.shape} are no pairs of [seeds, items]")
    sign = 1.0 if higher_is_better else -1.0
    if value is None:
        # The difference is taken item by item, before resampling, so that identical arms differ by exactly zero.
        difference = sign * (ours - theirs)
        found, draws = float(difference.mean()), resampled([difference], resamples, seed)[0]
    else:
        found = sign * float((per_seed(ours, value) - per_seed(theirs, value)).mean())
        above, below = resampled([ours, theirs], resamples, seed, value)
        draws = sign * (above - below)
    beyond = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return Gain(found, _percentiles(draws), min(1.0, 2.0 * (beyond + 1) / (resamples + 1)))


def retention(
    student: ArrayLike,
    teacher: ArrayLike,
    *,
    higher_is_better: bool = True,
    value: FromMeans | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, Interval] | None:
    """The share of the teacher's metric that the student keeps (inverted where less is better), with its interval.

    A teacher of one seed stands beside every seed of the student. None when the denominator is zero or, as a
    correlation may be, below it, in the data or in any resample: such a ratio says nothing.
    """
    kept, whole = _checked(student), _checked(teacher)
    if not higher_is_better:
        kept, whole = whole, kept
    above, below = resampled([kept, whole], resamples, seed, value)
    top, bottom = (float(per_seed(side, value).mean()) for side in (kept, whole))
    if bottom <= 0 or (below <= 0).any():
        return None
    return top / bottom, _percentiles(above / below)


def resampled(arms: Sequence[Floats], resamples: int, seed: int, value: FromMeans | None = None) -> Floats:
    """The metric of each arm under the same `resamples` draws of items and seeds: [arms, resamples].

    An arm of one seed is paired with every seed of the others.
    """
    parts = [arm if arm.ndim == 3 else arm[..., None] for arm in arms]
    seeds, items, k = max(part.shape[0] for part in parts), parts[0].shape[1], parts[0].shape[2]
    for part in parts:
        if part.shape[1:] != (items, k) or part.shape[0] not in (1, seeds):
            raise ValueError(f"scores of {[arm.shape for arm in arms]} do not share seeds and items")
    rows = np.concatenate([np.broadcast_to(part, (seeds, items, k)).transpose(0, 2, 1) for part in parts])
    columns, counts = np.unique(rows.reshape(-1, items), axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // counts.size)
    found = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        item_counts = rng.multinomial(items, counts / items, size=size)
        seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
        sums = (item_counts @ columns.T).reshape(size, len(arms), seeds, k)
        if value is None:
            found.append(np.einsum("bas,bs->ab", sums[..., 0], seed_counts) / (items * seeds))  # divided last: exact
        else:
            found.append(np.einsum("bas,bs->ab", value(sums / items), seed_counts) / seeds)
    return np.concatenate(found, axis=1)


def _percentiles(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _checked(scores: ArrayLike) -> Floats:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"scores of shape {array.shape}; expected [seeds, items] with at least one of each")
    if not np.isfinite(array).all():
        raise ValueError("scores hold NaN or infinity; an item without a score cannot be averaged away")
    return array
