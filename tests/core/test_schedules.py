"""Weights over time and over samples."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.core.schedules import Constant, Cosine, Linear, Step, Warmup, schedule
from limbeck.utils.registry import UnknownNameError


@pytest.mark.parametrize(
    ("one", "values"),
    [
        (Constant(3), {0: 3, 0.5: 3, 1: 3}),
        (Linear(2, 4), {0: 2, 0.25: 2.5, 1: 4}),
        (Linear(0, 1, begin=0.2, finish=0.6), {0: 0, 0.2: 0, 0.4: 0.5, 0.6: 1, 1: 1}),
        (Linear(0, 1, begin=0.5, finish=0.5), {0.5: 0, 0.51: 1}),
        (Cosine(), {0: 1, 0.25: (1 + math.cos(math.pi / 4)) / 2, 0.5: 0.5, 1: 0}),
        (Cosine(1, 3), {0: 1, 1: 3}),
        (Warmup(0.1), {0: 0, 0.05: 0.5, 0.1: 1, 1: 1}),
        (Warmup(0.2, start=0.5, then=Linear(4, 0)), {0: 2, 0.1: 3, 0.2: 4, 0.6: 2, 1: 0}),
        (Warmup(0), {0: 1, 1: 1}),
        (Warmup(1, then=Cosine()), {0: 0, 0.5: 0.5, 1: 1}),
        (Step(), {0: 1, 0.49: 1, 0.5: 0.1, 0.75: 0.01, 1: 0.01}),
    ],
)
def test_values_at_the_edges_and_between(one, values):
    for progress, value in values.items():
        assert one(progress) == pytest.approx(value, abs=1e-9), progress


@given(st.floats(0, 1))
def test_schedules_multiply(progress):
    product = Warmup(0.1) * Cosine()
    assert product(progress) == Warmup(0.1)(progress) * Cosine()(progress)
    assert (2 * Cosine())(progress) == (Cosine() * 2)(progress) == 2 * Cosine()(progress)


def test_recipe_forms():
    assert schedule(0.5) == Constant(0.5)
    assert schedule("cosine") == Cosine()
    assert schedule({"linear": {"start": 2, "end": 0}}) == Linear(2, 0)
    assert schedule({"cosine": None}) == Cosine()
    assert schedule({"warmup": {"until": 0.1, "then": {"step": {"at": [0.5]}}}}) == Warmup(0.1, then=Step(at=(0.5,)))
    assert schedule(Cosine()) == Cosine()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("cosin", "unknown schedule 'cosin'; nearest: cosine"),
        ({"linear": {"strat": 0}}, "schedule 'linear': .*'strat'"),
        ({"linear": {}, "cosine": {}}, "one name with its arguments"),
        ({}, "one name with its arguments"),
        ({"linear": 3}, "schedule 'linear': its arguments are 3; expected a mapping"),
    ],
)
def test_what_is_no_schedule_is_named(form, message):
    with pytest.raises((UnknownNameError, ValueError), match=message):
        schedule(form)
