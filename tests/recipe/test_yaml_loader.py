"""YAML as recipes are written."""

from __future__ import annotations

import time

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


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "more than 10,000 values"),
        ("".join(f"x{n}: {n}\n" for n in range(20_000)), "more than 10,000 values"),
        ("a: {" + ", ".join(f"x{n}: {n}" for n in range(20_000)) + "}", "more than 10,000 values"),
        ("a: &a [*a]", "holds itself"),
        ("[" * 100_000, "nested deeper"),
        ("{a: " * 50_000, "nested deeper"),
        ("- " * 5_000 + "a", "nested deeper"),
        ("\n".join(" " * n + "a:" for n in range(900)), "nested deeper"),
        ("name: " + "x" * 1_000_001, "at most 1,000,000"),
        ("a: " + "9" * 50_000, "cannot be read"),
        ("a: 2024-99-99", "cannot be read"),
    ],
)
def test_texts_that_would_take_long_or_fail_are_refused_at_once(text: str, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(yaml.YAMLError, match=reason):
        read_yaml(text)
    assert time.process_time() - began < 10  # 0.2 s on an idle core


def test_aliases_and_merges_within_bounds_are_read() -> None:
    assert read_yaml("a: &a {x: 1}\nb: [*a, *a]") == {"a": {"x": 1}, "b": [{"x": 1}] * 2}
