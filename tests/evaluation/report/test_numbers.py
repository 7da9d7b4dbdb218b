"""The numbers: goals in the unit that people use, arms as columns."""

import pytest

from limbeck.evaluation import MetricInfo
from limbeck.evaluation.report import numbers

from ..conftest import make


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("gain", 1.5, "1.5 points"),
        ("gain", -0.25, "−0.25 points"),
        ("retention", 0.97, "97 %"),
        ("metric", 0.9, "90 %"),
        ("compression", 40, "40×"),
        ("parameters", 75_290, "75.3 k"),
        ("file_bytes", 100_000, "100 kB"),
        ("latency_ms", 2.5, "2.50 ms"),
        ("ece", 0.05, "0.05"),
    ],
)
def test_goals_in_their_units(verdict, name, value, shown):
    assert numbers.goal_text(name, value, verdict) == shown


def test_goals_of_a_metric_that_is_no_percentage(verdict):
    plain = verdict.model_copy(update={"metric": MetricInfo(name="loss", percent=False)})
    assert (numbers.goal_text("metric", 2.5, plain), numbers.goal_text("gain", 0.5, plain)) == ("2.5", "0.5")


def test_missed_targets_say_why():
    section = str(numbers.targets(make(control=None, targets={"gain": 1, "compression": 5})))
    assert "1 of 2 targets missed" in section
    assert "the run had no control" in section
    assert section.count("✓ met") == 1


def test_targets_met_and_no_targets(verdict):
    assert "all targets met" in str(numbers.targets(make(targets={"compression": 5})))
    assert numbers.targets(verdict) is None


def test_arms_stand_with_intervals_costs_and_seeds(verdict):
    section = str(numbers.arms(verdict))
    for part in ("80.00 %<small>[", "11.0 M", "1 : 11", "1 : 4", "accuracy, seed 1", "calibration error"):
        assert part in section, part
    assert "This run trained no control" in str(numbers.arms(make(control=None)))


def test_the_head_says_what_is_known(verdict):
    assert "p &lt; 0.001" in numbers.head(verdict)
    assert "1,000 test items" in numbers.head(verdict)
    none = make(student=0.75)
    assert "no effect: [" in numbers.head(none)
