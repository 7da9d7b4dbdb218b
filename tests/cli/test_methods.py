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
    assert err.startswith("error: unknown objective 'softtargets'; nearest: soft_targets")
