"""`limbeck recipes`."""

from __future__ import annotations

import yaml

from tests.cli.conftest import Limbeck


def test_recipes_are_listed_and_shown(limbeck: Limbeck) -> None:
    code, out, _ = limbeck("recipes")
    assert code == 0
    assert "digits" in out
    assert "Handwritten digits" in out
    code, out, _ = limbeck("recipes", "show", "digits")
    assert code == 0
    assert yaml.safe_load(out)["name"] == "digits"
    code, _, err = limbeck("recipes", "show", "digitz")
    assert code == 2
    assert "unknown recipe 'digitz'; nearest: digits" in err
    assert limbeck("recipes", "hide")[0] == 2
