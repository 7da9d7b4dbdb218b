"""YAML as recipes are written."""

from __future__ import annotations

import pytest
import yaml

from limbeck.recipe import read_yaml
from tests import tiny


def test_numbers_in_exponents_are_numbers() -> None:
    assert read_yaml("[1e-3, 5E4, -2.5e-1, .5e+2, 1.0e-3, 12, abc]") == [1e-3, 5e4, -0.25, 50.0, 1e-3, 12, "abc"]
    recipe = tiny.recipe("training.optimizer.weight_decay=5e-4", "terms.1.soft_targets.temperature=1e1")
    assert recipe.training.optimizer.build().options["weight_decay"] == 5e-4
    assert recipe.terms[1].build().objective.temperature == 10.0


def test_a_field_given_twice_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="field 'name' is given twice, the second time within line 2"):
        read_yaml("name: a\nname: b\n")
    assert read_yaml("base: &base {a: 1}\nmore: {<<: *base, b: 2}") == {"base": {"a": 1}, "more": {"a": 1, "b": 2}}
