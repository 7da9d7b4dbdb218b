"""Metrics of counts are those of the drawn items, and hold no number for each class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from limbeck.evaluation import statistics
from limbeck.evaluation.comparison import rank_ranges
from limbeck.evaluation.statistics import interval
from limbeck.metrics import METRICS, CountedMeasure, Records

RNG = np.random.default_rng(0)
REFERENCES = {"f1": lambda y, p: f1_score(y, p, average="macro", labels=range(5)), "matthews": matthews_corrcoef}


def predictions(items: int, classes: int, right: float = 0.6, seeds: int = 2) -> Records:
    labels = np.random.default_rng(1).integers(0, classes, items)
    guesses = RNG.integers(0, classes, (seeds, items))
    predicted = np.where(RNG.random((seeds, items)) < right, labels, guesses)
    return Records({"predicted": predicted, "label": labels[None], "classes": np.full((1, items), classes)})


@pytest.mark.parametrize("name", REFERENCES)
def test_sets_are_those_of_the_drawn_items(name: str) -> None:
    metric, found = METRICS[name], predictions(60, 5).of_seed(1)
    assert isinstance(metric, CountedMeasure)
    draws = RNG.integers(60, size=(4, 60))
    expected = [REFERENCES[name](found["label"][rows], found["predicted"][rows]) for rows in draws]
    assert metric.over_draws(found, draws) == pytest.approx(np.array(expected))
    assert metric.over(found, draws[2]) == pytest.approx(expected[2])


def test_equal_codes_are_equal_records() -> None:
    metric, found = METRICS["f1"], predictions(400, 5).of_seed(0)
    assert isinstance(metric, CountedMeasure)
    pairs = list(zip(found["label"].tolist(), found["predicted"].tolist(), strict=True))
    assert len(set(metric.codes(found).tolist())) == len(set(pairs)) == len(set(zip(metric.codes(found), pairs, strict=True)))


def test_draws_of_many_distinct_items_agree_with_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictions(2_000, 5)
    value, few = interval(found, value=METRICS["f1"])
    monkeypatch.setattr(statistics, "DISTINCT", 1)
    again, many = interval(found, value=METRICS["f1"])
    assert again == value
    assert many == pytest.approx(few, abs=0.15 * (few[1] - few[0]))


def test_thousands_of_classes_are_ranked() -> None:
    """An array of a number for each item and class would have 20 million entries an arm."""
    arms = {str(right): predictions(4_000, 5_000, right, seeds=1) for right in (0.3, 0.5, 0.7)}
    assert rank_ranges(arms, value=METRICS["f1"]) == {"0.3": (3, 3), "0.5": (2, 2), "0.7": (1, 1)}
