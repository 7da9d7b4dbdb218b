"""Objectives described as data."""

from __future__ import annotations

import pytest

from limbeck import objectives
from limbeck.objectives.description import describe
from limbeck.utils.registry import UnknownNameError


def test_a_description_has_defaults_and_what_it_needs():
    found = describe("decoupled")
    assert found["defaults"] == {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}
    assert (found["knowledge"], found["usual_weight"], found["needs_labels"], found["compares_items"]) == (
        "output",
        1,
        True,
        False,
    )
    assert describe("rkd_distance")["compares_items"]


def test_every_objective_has_a_summary_of_one_paragraph():
    summaries = [describe(name)["summary"] for name in objectives.names()]
    assert all(summary.endswith(".") and "\n" not in summary for summary in summaries)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="nearest: decoupled"):
        describe("decouple")
