"""Targets met, missed and unknown."""

import pytest

from limbeck.evaluation import check_targets

from .conftest import make


def test_targets_met_and_missed():
    goals = {
        "gain": 4.5,
        "retention": 0.85,
        "compression": 11,
        "speedup": 4,
        "memory_ratio": 10,
        "parameters": 1_000_000,
        "metric": 0.8,
        "file_bytes": 4_000_000,
        "latency_ms": 2.5,
        "ece": 1,
    }
    verdict = make(targets=goals)
    assert {name: target.met for name, target in verdict.targets.items()} == dict.fromkeys(goals, True)
    assert verdict.targets["gain"].value == pytest.approx(5.0)  # points
    harder = {name: goal * (0.9 if name in ("parameters", "file_bytes", "latency_ms") else 1.2) for name, goal in goals.items()}
    harder["ece"] = 0.001
    verdict = make(targets=harder)
    assert not any(target.met for target in verdict.targets.values())
    assert not verdict.met


def test_a_gain_whose_interval_touches_zero_is_not_met():
    verdict = make(student=0.76, control=0.75, items=100, targets={"gain": 0.5})
    assert verdict.gain.value == pytest.approx(0.01)
    assert verdict.gain.ci95[0] == 0
    assert not verdict.targets["gain"].met
    assert "no effect" in verdict.targets["gain"].reason


def test_a_target_that_cannot_be_computed_is_not_met_and_says_why():
    targets = make(control=None, teacher=None, model_costs={}, targets={"gain": 0, "retention": 0.1, "latency_ms": 9}).targets
    assert not any(target.met for target in targets.values())
    assert "no control" in targets["gain"].reason
    assert "no teacher" in targets["retention"].reason
    assert "latency" in targets["latency_ms"].reason
    poor = make(
        student=0.1, teacher=0.01, items=100, targets={"retention": 0.1}
    )  # right on one item, on none in many resamples
    assert poor.result.retention is None
    assert poor.targets["retention"].reason == "the run had no teacher, or its metric cannot be told from zero"


def test_unknown_targets_are_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"retension.*retention"):
        check_targets({"retension": 1})
    with pytest.raises(ValueError, match="expected a number"):
        check_targets({"gain": float("nan")})


def test_targets_of_other_results_are_named_with_their_result():
    check_targets({"gain": 1, "early.retention": 0.9, "v1.5.gain": 1})  # before the results are known
    check_targets({"early.retention": 0.9}, ["student", "early"])
    with pytest.raises(ValueError, match=r"erly.*nearest: early"):
        check_targets({"erly.retention": 0.9}, ["student", "early"])
    with pytest.raises(ValueError, match=r"early.retension.*retention"):
        check_targets({"early.retension": 0.9})
    with pytest.raises(ValueError, match="expected a number"):
        check_targets({"early.gain": float("nan")})
