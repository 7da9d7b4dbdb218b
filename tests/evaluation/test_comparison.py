"""Ranks that say no more than the data do."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.evaluation import ComparisonVerdict, MetricInfo, Predictions, build_comparison, methods_table
from limbeck.evaluation.comparison import rank_ranges


def answers(rate: float, seed: int, items: int = 2_000) -> Predictions:
    """Three seeds that are right about `rate` of the items."""
    return Predictions(scores=(np.random.default_rng(seed).random((3, items)) < rate).astype(float))


def compared(**students: Predictions) -> ComparisonVerdict:
    return build_comparison(
        students,
        None,
        name="few",
        task="classification",
        metric=MetricInfo(),
        control="control",
        seeds=(0, 1, 2),
        seconds={"control": 3.0},
        failed={"broken": "loss became NaN; try a smaller learning rate"},
        environment={},
    )


def test_equal_methods_share_their_places() -> None:
    scores = {name: answers(0.7, seed).item_scores() for seed, name in enumerate(("a", "b", "c"))}
    scores["d"] = scores["a"]  # the very same answers
    ranges = rank_ranges(scores)
    assert ranges["a"] == ranges["d"]
    assert all(low == 1 and high == 4 for low, high in ranges.values())


def test_clear_differences_give_clear_places() -> None:
    scores = {name: answers(rate, 5).item_scores() for name, rate in (("low", 0.5), ("high", 0.9), ("middle", 0.7))}
    assert rank_ranges(scores) == {"low": (3, 3), "high": (1, 1), "middle": (2, 2)}
    assert rank_ranges(scores, higher_is_better=False) == {"low": (1, 1), "high": (3, 3), "middle": (2, 2)}


def test_rows_are_ordered_and_gains_are_against_the_control() -> None:
    verdict = compared(control=answers(0.6, 1), better=answers(0.75, 2), worse=answers(0.4, 3))
    assert list(verdict.rows) == ["better", "control", "worse"]
    assert verdict.rows["control"].gain is None
    gain = verdict.rows["better"].gain
    assert gain is not None
    assert gain.effect
    assert gain.value == pytest.approx(verdict.rows["better"].metric - verdict.rows["control"].metric)


def test_file_and_table(tmp_path) -> None:
    verdict = compared(control=answers(0.6, 1), same=answers(0.6, 2))
    verdict.save(tmp_path / "comparison.json")
    assert ComparisonVerdict.load(tmp_path / "comparison.json") == verdict
    cells = [list(column.cells) for column in methods_table(verdict).columns]
    assert any(str(cell).startswith("no effect") for cell in cells[2])
    assert str(cells[0][-1]) == "broken"
    assert "loss became NaN" in str(cells[1][-1])
