"""`limbeck methods`."""

from __future__ import annotations

import json

from tests.cli.conftest import Limbeck


def test_methods(limbeck: Limbeck) -> None:
    code, out, _ = limbeck("methods")
    assert code == 0
    assert "correlation_congruence" in out  # the longest name is whole at 80 columns
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = limbeck("methods", "soft_targets")
    assert code == 0
    assert "Hinton" in out
    rows = json.loads(limbeck("methods", "--json")[1])
    assert json.loads(limbeck("methods", "soft_targets", "--json")[1]) in rows
    code, _, err = limbeck("methods", "softtargets")
    assert code == 2
    assert err.startswith("error: unknown objective or method 'softtargets'; nearest: soft_targets")


def test_methods_by_paradigm(limbeck: Limbeck) -> None:
    rows = json.loads(limbeck("methods", "--paradigm", "offline", "--json")[1])
    assert {row["paradigm"] for row in rows} == {"offline"}
    found = {row["name"]: row for row in rows}
    assert found["tinybert"]["arguments"]["layers"] == 4
    assert "teacher" not in found["tinybert"]["arguments"]  # a recipe fills it in
    assert "1909.10351" in found["tinybert"]["source"]
    code, _, err = limbeck("methods", "--paradigm", "ofline")
    assert code == 2
    assert err.startswith("error: unknown paradigm 'ofline'; nearest: offline")
