"""Intervals against slow loops, known cases and simulated truth."""

import time

import numpy as np
import pytest

from limbeck.evaluation.statistics import interval, paired_gain, per_class, resampled, retention
from limbeck.evaluation.verdict_builder import is_share
from limbeck.metrics import METRICS, Metric, first_mean
from limbeck.metrics.classification import correct


def slow_difference(student, control, resamples, seed):
    """The paired bootstrap as a textbook writes it: draw item and seed indices, average, subtract."""
    rng = np.random.default_rng(seed)
    seeds, items = student.shape
    draws = []
    for _ in range(resamples):
        rows, columns = rng.integers(0, seeds, seeds), rng.integers(0, items, items)
        draws.append(student[np.ix_(rows, columns)].mean() - control[np.ix_(rows, columns)].mean())
    return np.percentile(draws, [2.5, 97.5])


def flips(rng, rate, shape):
    return (rng.random(shape) < rate).astype(float)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("continuous", [False, True])
def test_gain_matches_the_slow_loop(seeds, continuous):
    rng = np.random.default_rng(3)
    shape = (seeds, 200)
    student, control = (
        (rng.random(shape), rng.random(shape)) if continuous else (flips(rng, 0.8, shape), flips(rng, 0.7, shape))
    )
    gain = paired_gain(student, control)
    np.testing.assert_allclose(gain.value, student.mean() - control.mean())
    np.testing.assert_allclose(gain.ci95, slow_difference(student, control, 4000, 1), atol=0.008)


def test_an_arm_against_itself_gains_exactly_nothing():
    scores = flips(np.random.default_rng(0), 0.7, (3, 500))
    gain = paired_gain(scores, scores)
    assert (gain.value, gain.ci95, gain.p) == (0.0, (0.0, 0.0), 1.0)
    assert not gain.effect


def test_p_is_never_zero_and_small_for_a_clear_effect():
    gain = paired_gain(np.ones((1, 300)), np.zeros((1, 300)), resamples=999)
    assert gain.p == pytest.approx(2 / 1000)
    assert gain.effect


def test_p_agrees_with_the_interval():
    rng = np.random.default_rng(5)
    for _ in range(40):
        gain = paired_gain(flips(rng, 0.74, (1, 300)), flips(rng, 0.68, (1, 300)), resamples=2000)
        if abs(gain.p - 0.05) > 0.01:
            assert gain.effect == (gain.p < 0.05)


def test_less_is_better_turns_the_sign():
    low, high = np.full((1, 50), 0.2), np.full((1, 50), 0.5)
    assert paired_gain(low, high, higher_is_better=False).value == pytest.approx(0.3)
    assert retention(high, low, higher_is_better=False)[0] == pytest.approx(0.4)


def test_pairing_removes_the_difficulty_that_arms_share():
    rng = np.random.default_rng(1)
    difficulty = rng.random((1, 2000))
    control = (difficulty < 0.70).astype(float)
    student = (difficulty < 0.72).astype(float)
    paired = paired_gain(student, control).ci95
    apart = interval(student, seed=1)[1], interval(control, seed=2)[1]
    unpaired = np.hypot(*(high - low for low, high in apart))
    assert paired[1] - paired[0] < 0.5 * unpaired
    assert paired_gain(student, control).effect


def test_seeds_are_resampled_too():
    """Two arms that differ between seeds only: one seed would be certain, several are not."""
    student = np.repeat([[1.0], [0.0], [1.0]], 400, axis=1)
    control = np.repeat([[0.0], [1.0], [0.0]], 400, axis=1)
    assert paired_gain(student[:1], control[:1]).effect
    assert not paired_gain(student, control).effect


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        low, high = interval(flips(rng, 0.8, (1, 300)), resamples=1000)[1]
        inside += low <= 0.8 <= high
    assert 0.90 <= inside / 200 <= 0.985


def test_no_effect_is_rarely_called_one():
    rng = np.random.default_rng(8)
    difficulty = rng.normal(size=(200, 1, 400))
    noise = rng.normal(size=(200, 2, 3, 400))
    scores = (difficulty[:, None] + noise > -0.5).astype(float)
    false = sum(paired_gain(pair[0], pair[1], resamples=1000).effect for pair in scores)
    assert false / 200 <= 0.08


def test_retention_is_paired_and_broadcasts_one_teacher():
    rng = np.random.default_rng(2)
    teacher = flips(rng, 0.9, (1, 1000))
    value, (low, high) = retention(np.repeat(teacher, 3, axis=0), teacher)
    assert value == pytest.approx(1.0)
    assert (low, high) == pytest.approx((1.0, 1.0))
    assert retention(teacher, np.zeros((1, 1000))) is None
    assert retention(teacher, -np.ones((1, 1000))) is None  # a correlation may be below zero, and no share is kept of that


def test_interval_is_a_function_of_its_seed():
    scores = np.random.default_rng(0).random((2, 100))
    assert interval(scores, seed=4) == interval(scores, seed=4)
    assert interval(scores, seed=4) != interval(scores, seed=5)


def test_blocks_cover_all_resamples(monkeypatch):
    scores = np.random.default_rng(0).random((2, 100))
    monkeypatch.setattr("limbeck.evaluation.statistics._CELLS", 700)
    assert resampled([scores, scores], 25, 0).shape == (2, 25)


def test_three_seeds_of_ten_thousand_items_take_about_a_second():
    rng = np.random.default_rng(0)
    student, control = flips(rng, 0.8, (3, 10_000)), flips(rng, 0.78, (3, 10_000))
    began = time.process_time()  # of this process alone, whatever else the machine does
    paired_gain(student, control)
    assert time.process_time() - began < 5  # 0.05 s on an idle core


@pytest.mark.parametrize(
    ("student", "control", "said"),
    [
        (np.zeros((2, 5)), np.zeros((1, 5)), "differ in shape; expected pairs"),
        (np.zeros(5), np.zeros(5), r"\[seeds, items\]"),
        (np.zeros((1, 0)), np.zeros((1, 0)), "at least one"),
        (np.full((1, 5), np.nan), np.zeros((1, 5)), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(student, control, said):
    with pytest.raises(ValueError, match=said):
        paired_gain(student, control)


def test_retention_refuses_other_test_sets():
    with pytest.raises(ValueError, match="differ in seeds or items"):
        retention(np.ones((1, 5)), np.ones((1, 6)))


def test_per_class():
    assert per_class([[1, 0, 1], [1, 1, 1]], [0, 0, 2], 4) == [0.75, None, 1.0, None]


@pytest.mark.parametrize(
    ("right", "items", "expected"), [(1.0, 1, (0.025, 1.0)), (0.0, 2, (0.0, 0.842)), (1.0, 600, (0.9939, 1.0))]
)
def test_a_share_of_all_or_none_has_the_exact_interval(right, items, expected):
    mean, found = interval(np.full((3, items), right), share=True)
    assert mean == right
    assert found == pytest.approx(expected, abs=1e-3)


def test_only_shares_of_right_items_are_shares():
    assert is_share(METRICS["accuracy"])
    for name in ("neighbour_overlap", "answer_f1", "macro_f1", "perplexity", "mean_squared_error"):
        assert not is_share(METRICS[name])
    assert not is_share(None)
    assert is_share(Metric("of_a_user", correct, first_mean, share=True))


def test_a_share_between_is_resampled_as_ever():
    scores = np.array([[1.0, 0.0, 1.0, 1.0]])
    assert interval(scores, share=True) == interval(scores)


@pytest.mark.parametrize("items", [1, 2, 5])
def test_few_items_show_no_effect_though_all_agree(items):
    gain = paired_gain(np.ones((2, items)), np.zeros((2, items)))
    assert (gain.value, gain.effect) == (1.0, False)
    assert gain.p >= 2 * 0.5**items > 0.05
    few_of_many = np.zeros((1, 600))
    few_of_many[0, :items] = 1
    assert not paired_gain(few_of_many, np.zeros((1, 600))).effect
    assert not paired_gain(np.zeros((2, items)), np.ones((2, items))).effect


def test_six_items_that_all_agree_are_an_effect():
    assert paired_gain(np.ones((1, 6)), np.zeros((1, 6))).effect
