"""A bootstrap over groups of similar items agrees with the one over items."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from limbeck.evaluation import statistics
from limbeck.evaluation.similar_items import similar_items
from limbeck.evaluation.statistics import interval, paired_gain, resampled
from limbeck.metrics import METRICS

ITEMS = 3_000


def losses(seeds: int = 3) -> np.ndarray:
    """Skewed losses of models that find the same items hard."""
    rng = np.random.default_rng(0)
    return np.exp(rng.normal(size=ITEMS) + 0.5 * rng.normal(size=(seeds, ITEMS)))


def test_groups_keep_mean_and_covariance() -> None:
    scores = losses()
    counts = np.random.default_rng(1).integers(1, 4, ITEMS)
    found = similar_items(scores.copy(), counts, groups=50)
    assert found.means.shape == (3, 50)
    assert found.counts.sum() == counts.sum()
    np.testing.assert_allclose(found.means @ found.counts, scores @ counts)
    centre = (scores @ counts / counts.sum())[:, None]
    between = ((found.means - centre) * found.counts) @ (found.means - centre).T
    np.testing.assert_allclose(between + found.spread @ found.spread.T, ((scores - centre) * counts) @ (scores - centre).T)
    assert np.trace(found.spread @ found.spread.T) < 0.5 * np.trace(between)


@pytest.mark.parametrize("few", [True, False])
def test_intervals_are_those_of_single_items(monkeypatch: pytest.MonkeyPatch, few: bool) -> None:
    student, control = losses(), losses() + np.random.default_rng(2).normal(0.05, 0.5, (3, ITEMS))

    def found() -> np.ndarray:
        gain = paired_gain(student, control, higher_is_better=False, resamples=4_000)
        mean, ci95 = interval(student, resamples=4_000)
        return np.array([gain.value, *gain.ci95, mean, *ci95])

    exact = found()
    monkeypatch.setattr(statistics, "DISTINCT", 1 if few else ITEMS)
    grouped = found()
    widths = np.repeat([exact[2] - exact[1], exact[5] - exact[4]], 3)
    assert (np.abs(grouped - exact) < 0.06 * widths).all()
    assert (grouped == exact).all() is np.bool_(not few)


def test_a_correlation_and_equal_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=ITEMS)
    parts = np.stack(
        [np.stack([one, truth, one * one, truth * truth, one * truth], -1) for one in truth + rng.normal(size=(2, ITEMS))]
    )
    value = METRICS.get("pearson").from_means
    exact = interval(parts, value=value, resamples=2_000)
    monkeypatch.setattr(statistics, "DISTINCT", 1)
    grouped = interval(parts, value=value, resamples=2_000)
    assert grouped[0] == exact[0]
    np.testing.assert_allclose(grouped[1], exact[1], atol=0.08 * (exact[1][1] - exact[1][0]))
    above, below = resampled([parts, parts], 50, 0, value)
    np.testing.assert_allclose(above, below)


def test_hundreds_of_arms_are_held_three_times_at_most() -> None:
    """As they are given, as rows of one matrix, and in the order of their groups."""
    arms = list(np.random.default_rng(0).normal(size=(100, 1, 10_000)))
    before = [arm.copy() for arm in arms]
    tracemalloc.start()
    resampled(arms, 100, 0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3.2 * sum(arm.nbytes for arm in arms)  # of which the arms themselves were there before
    assert all((arm == same).all() for arm, same in zip(arms, before, strict=True))
