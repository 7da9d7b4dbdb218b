"""Bootstrap intervals over test items and seeds.

Scores are arrays `[seeds, items]`, one number per seed and test item (accuracy: 0 or 1); the metric is their mean. A resample
draws items and seeds with replacement, as many as there are of each; all arms of a comparison use the same draws. This pairing
removes the variance that the arms share, above all that some items are hard for every model.

Items with equal scores in every arm and seed are interchangeable, so that a draw of items is a multinomial count over the
distinct columns. Accuracies have few of them, whatever the size of the test set, and ten thousand resamples are one small
matrix product. This is exact. Of more than eight thousand distinct columns (losses, probabilities) neighbours are drawn as a
group, see `limbeck.evaluation.similar_items`; the difference is far below that of another seed of the draws.

A metric that is no mean (a correlation) has several numbers per item, `[seeds, items, k]`, and a function `value` from their
means to the metric; see `limbeck.metrics.metric`. Each resample computes these means anew, by seed.

A metric that is no function of means either (a mean average precision) has `Records` instead of scores, and is the `value`
itself; see `limbeck.metrics.measure`. Each resample computes it on the drawn items, so fewer are drawn. Those that need only
know how often each item is drawn (F1, Matthews' correlation, `limbeck.metrics.counted`) are resampled as means are, unless more
than eight thousand items are distinct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limbeck.evaluation.similar_items import similar_items
from limbeck.metrics import CountedMeasure, Floats, FromMeans, Measure, Records, first_mean
from limbeck.metrics.measure import per_seed_over_all

Interval: TypeAlias = tuple[float, float]
Scores: TypeAlias = ArrayLike | Records
Value: TypeAlias = FromMeans | Measure

RESAMPLES = 10_000
SET_RESAMPLES = 1_000  # of a metric that is computed on each drawn set
SET_DRAWS = 1 << 30  # maximal number of drawn items of all resamples of one arm and seed
DISTINCT = 1 << 13  # items with different scores, above which similar ones are drawn as a group
FEWEST = 6  # items that differ, below which no two-sided test at 5 % can tell a difference: 2 · 0.5⁵ > 0.05
_CELLS = 1 << 22  # maximal number of counts drawn at once, which bounds memory


@dataclass(frozen=True)
class Gain:
    """Student minus control in the unit of the metric (accuracy 0.021: 2.1 points); positive if the student is better (control
    minus student for a metric of which less is better).

    Attributes:
        value: the difference of the two means.
        ci95: 95 % interval of the paired bootstrap.
        p: two-sided p-value of the paired bootstrap.
    """

    value: float
    ci95: Interval
    p: float

    @property
    def effect(self) -> bool:
        """Whether the interval does not contain zero; otherwise the gain is reported as no effect."""
        return not self.ci95[0] <= 0.0 <= self.ci95[1]


def interval(
    scores: Scores, *, value: Value | None = None, resamples: int | None = None, seed: int = 0, share: bool = False
) -> tuple[float, Interval]:
    """The metric of `scores` averaged over seeds, and its 95 % percentile interval.

    Args:
        share: whether the metric is the share of items that are right. If all of them are, or none is, there is nothing to
            resample, and the interval is the exact one of Clopper and Pearson 1934: at least 0.025^(1/n) of n right items.
    """
    checked = _checked(scores)
    if (
        share
        and value is None
        and not isinstance(checked, Records)
        and (of := checked.flat[0]) in (0, 1)
        and (checked == of).all()
    ):
        least = (0.05 / 2) ** (1 / checked.shape[1])
        return float(of), (least, 1.0) if of else (0.0, 1 - least)
    return float(per_seed(checked, value).mean()), _percentiles(resampled([checked], resamples, seed, value)[0])


def per_seed(scores: Floats | Records, value: Value | None = None) -> Floats:
    """The metric of each seed, `[seeds]`."""
    if isinstance(scores, Records):
        return per_seed_over_all(_measure(value), scores)
    assert not isinstance(value, Measure)
    parts = scores if scores.ndim == 3 else scores[..., None]
    return (value or first_mean)(parts.mean(axis=1))


def per_class(scores: ArrayLike, labels: ArrayLike, classes: int | None = None) -> list[float | None]:
    """Mean score of each class over its items and all seeds (for accuracy: the recall); None for classes without items.

    `scores` [seeds, items] or [items], `labels` [items].
    """
    values, y = np.atleast_2d(np.asarray(scores, dtype=np.float64)).mean(axis=0), np.asarray(labels)
    count = classes if classes is not None else int(y.max()) + 1
    sums, items = np.bincount(y, weights=values, minlength=count), np.bincount(y, minlength=count)
    return [float(total / n) if n else None for total, n in zip(sums, items, strict=True)]


def paired_gain(
    student: Scores,
    control: Scores,
    *,
    higher_is_better: bool = True,
    value: Value | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> Gain:
    """The gain of `student` over `control`. Both have the same shape: rows are of the same seeds, columns of the same items.

    p is twice the smaller share of resampled differences on either side of zero, with one added to the count (Davison and
    Hinkley 1997, 4.2.3), so that it is never zero. If fewer than six items differ, the interval holds zero and p is at least
    that of the sign test: a bootstrap of one item has no width.
    """
    ours, theirs = _checked(student), _checked(control)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"student scores {ours.shape} and control scores {theirs.shape} differ in shape; expected pairs of [seeds, items]"
        )
    sign = 1.0 if higher_is_better else -1.0
    if value is None and not isinstance(ours, Records) and not isinstance(theirs, Records):
        # by item and before resampling, so that equal arms differ by exactly zero
        difference = sign * (ours - theirs)
        found, draws = float(difference.mean()), resampled([difference], resamples, seed)[0]
        differing = int((difference != 0).any(axis=0).sum())
    else:
        differing = ours.shape[1]
        found = sign * float((per_seed(ours, value) - per_seed(theirs, value)).mean())
        above, below = resampled([ours, theirs], resamples, seed, value)
        draws = sign * (above - below)
    beyond = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    (low, high), p = _percentiles(draws), min(1.0, 2.0 * (beyond + 1) / (len(draws) + 1))
    if differing < FEWEST:
        low, high, p = min(low, 0.0), max(high, 0.0), max(p, min(1.0, 2.0 * 0.5**differing))
    return Gain(found, (low, high), p)


def retention(
    student: Scores,
    teacher: Scores,
    *,
    higher_is_better: bool = True,
    value: Value | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> tuple[float, Interval] | None:
    """Student over teacher metric (teacher over student if less is better), with its interval.

    A teacher of one seed is compared with every seed of the student. None if the denominator is zero or negative, as a
    correlation may be, in the data or in any resample.
    """
    kept, whole = _checked(student), _checked(teacher)
    if not higher_is_better:
        kept, whole = whole, kept
    above, below = resampled([kept, whole], resamples, seed, value)
    top, bottom = (float(per_seed(side, value).mean()) for side in (kept, whole))
    if bottom <= 0 or (below <= 0).any():
        return None
    return top / bottom, _percentiles(above / below)


def resampled(
    arms: Sequence[Floats | Records], resamples: int | None, seed: int, value: Value | None = None, *, usual: int = RESAMPLES
) -> Floats:
    """The metric of each arm under the same draws of items and seeds, [arms, resamples].

    An arm of one seed is compared with every seed of the others.

    Args:
        resamples: None: `usual`, or 1,000 for a metric of sets, and fewer of those if the test set is very large.
    """
    if isinstance(arms[0], Records):
        records, measure = [arm for arm in arms if isinstance(arm, Records)], _measure(value)
        _check_records(records)
        if isinstance(measure, CountedMeasure):
            return _resampled_counts(records, resamples, usual, seed, measure)
        return _resampled_sets(records, resamples, seed, measure)
    assert not isinstance(value, Measure)
    return _resampled_means([arm for arm in arms if not isinstance(arm, Records)], resamples or usual, seed, value)


def _check_records(arms: Sequence[Records]) -> None:
    seeds, items = max(arm.seeds for arm in arms), arms[0].shape[1]
    if any(arm.shape not in ((1, items), (seeds, items)) for arm in arms):
        raise ValueError(f"records of {[arm.shape for arm in arms]} seeds and items differ")


def _resampled_counts(arms: Sequence[Records], resamples: int | None, usual: int, seed: int, measure: CountedMeasure) -> Floats:
    """`resampled` for a metric that is computed from how often each item is drawn."""
    seeds, items = max(arm.seeds for arm in arms), arms[0].shape[1]
    of_seeds = [[arm.of_seed(row) for row in range(arm.seeds)] for arm in arms]
    codes = np.stack([measure.codes(part) for parts in of_seeds for part in parts])
    first, whole = _distinct_columns(codes)
    if few := len(whole) <= DISTINCT:
        of_seeds = [[{name: array[first] for name, array in part.items()} for part in parts] for parts in of_seeds]
    count = resamples or (usual if few else min(usual, SET_RESAMPLES))
    rng = np.random.default_rng(seed)
    block, found = max(1, _CELLS // (len(whole) if few else items)), []
    exact: type[np.floating[Any]] = np.float32 if items < 1 << 24 else np.float64  # counts are whole numbers
    for start in range(0, count, block):
        size = min(block, count - start)
        if few:
            item_counts = rng.multinomial(items, whole / items, size=size)
        else:
            item_counts = np.stack([np.bincount(rng.integers(items, size=items), minlength=items) for _ in range(size)])
        seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
        drawn: NDArray[np.floating[Any]] = np.ascontiguousarray(item_counts.T, dtype=exact)
        values = [[measure.over_counts(part, drawn) for part in parts] for parts in of_seeds]
        by_seed = np.stack([np.broadcast_to(of_arm, (seeds, size)) for of_arm in values])
        found.append(np.einsum("asb,bs->ab", by_seed, seed_counts) / seeds)
    return np.concatenate(found, axis=1)


def _mostly_distinct(columns: Floats) -> bool:
    """Whether more than `DISTINCT` columns differ: sums with random weights tell most of them apart, and no equal ones."""
    if columns.shape[1] <= DISTINCT:
        return False
    sums = np.zeros(columns.shape[1])
    for row, weight in zip(columns, np.random.default_rng(0).random(len(columns)), strict=True):
        sums += weight * row  # not a matrix product, whose order of summation may differ between columns
    return np.unique(sums).size > DISTINCT


def _distinct_columns(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first of each group of equal columns, in lexicographic order, and the sizes of the groups."""
    order = np.lexsort(codes[::-1])
    ordered = codes[:, order]
    starts = np.flatnonzero(np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(0)]))
    return order[starts], np.diff([*starts, codes.shape[1]])


def _resampled_sets(arms: Sequence[Records], resamples: int | None, seed: int, measure: Measure) -> Floats:
    """`resampled` for a metric of sets."""
    seeds, items = max(arm.seeds for arm in arms), arms[0].shape[1]
    most = max(1, SET_DRAWS // items)
    if resamples is not None and resamples > most:
        raise ValueError(
            f"resamples={resamples:,}: each would compute {measure.name} on {items:,} items; {most:,} or fewer are feasible"
        )
    count = min(SET_RESAMPLES, most) if resamples is None else resamples
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // items)
    found = []
    for start in range(0, count, block):
        size = min(block, count - start)
        draws = rng.integers(items, size=(size, items))
        seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
        values = [[measure.over_draws(arm.of_seed(row), draws) for row in range(arm.seeds)] for arm in arms]
        by_seed = np.stack([np.broadcast_to(of_arm, (seeds, size)) for of_arm in values])
        found.append(np.einsum("asb,bs->ab", by_seed, seed_counts) / seeds)
    return np.concatenate(found, axis=1)


def _measure(value: Value | None) -> Measure:
    if not isinstance(value, Measure):
        raise ValueError("records are read by a metric of sets; give it as value")
    return value


def _resampled_means(arms: Sequence[Floats], resamples: int, seed: int, value: FromMeans | None = None) -> Floats:
    """`resampled` for a function of means."""
    parts = [arm if arm.ndim == 3 else arm[..., None] for arm in arms]
    seeds, items, k = max(part.shape[0] for part in parts), parts[0].shape[1], parts[0].shape[2]
    for part in parts:
        if part.shape[1:] != (items, k) or part.shape[0] not in (1, seeds):
            raise ValueError(f"scores of shapes {[arm.shape for arm in arms]} differ in seeds or items")
    rows = np.concatenate([np.broadcast_to(part, (seeds, items, k)).transpose(0, 2, 1) for part in parts])
    columns, counts, spread = rows.reshape(-1, items), np.ones(items), None
    if not _mostly_distinct(columns):
        columns, whole = np.unique(columns, axis=1, return_counts=True)
        counts = whole.astype(np.float64)
    if counts.size > DISTINCT:
        columns, counts, spread = similar_items(columns, counts)
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // counts.size)
    found = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        item_counts = rng.multinomial(items, counts / items, size=size)
        seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
        sums = item_counts @ columns.T
        if spread is not None:
            sums = sums + rng.standard_normal((size, len(spread))) @ spread.T
        sums = sums.reshape(size, len(arms), seeds, k)
        if value is None:
            found.append(np.einsum("bas,bs->ab", sums[..., 0], seed_counts) / (items * seeds))  # divided last, which is exact
        else:
            found.append(np.einsum("bas,bs->ab", value(sums / items), seed_counts) / seeds)
    return np.concatenate(found, axis=1)


def _percentiles(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _checked(scores: Scores) -> Floats | Records:
    if isinstance(scores, Records):
        return scores
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"scores of shape {array.shape}; expected [seeds, items] with at least one of each")
    if not np.isfinite(array).all():
        raise ValueError("scores hold NaN or infinity; every item needs a score")
    return array
