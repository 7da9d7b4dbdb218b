"""Arguments from recipes checked against type hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pytest

from limbeck import methods, models, objectives
from limbeck.utils.registry import Registry
from limbeck.utils.type_hints import ArgumentTypeError, check_arguments

if TYPE_CHECKING:
    from torch import nn


def part(
    model: nn.Module | None = None,
    *,
    count: int = 1,
    share: float = 0.5,
    name: str | None = None,
    kind: Literal["one", "two"] = "one",
    sizes: Sequence[int] | None = None,
    pair: tuple[float, float] = (0.0, 1.0),
    options: Mapping[str, float] | None = None,
    **others: Any,
) -> None:
    pass


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"count": 2, "share": 1, "name": None, "kind": "two"},
        {"sizes": [1, 2], "pair": [0, 0.5], "options": {"a": 1}},
        {"sizes": (1, 2)},
        {"model": 3, "other": {"anything": [None]}},  # hints that say nothing about plain values
    ],
)
def test_values_of_the_right_type_pass(given: dict[str, Any]) -> None:
    check_arguments(part, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": "3"}, "count='3': expected int"),
        ({"count": True}, "count=True: expected int"),
        ({"count": 2.5}, "count=2.5: expected int"),
        ({"share": {}}, r"share=\{\}: expected float"),
        ({"name": 3}, "name=3: expected str or None"),
        ({"kind": "three"}, "kind='three': expected 'one' or 'two'"),
        ({"sizes": [1, "a"]}, r"sizes=\[1, 'a'\]: expected Sequence\[int\] or None"),
        ({"sizes": "12"}, "sizes='12'"),
        ({"pair": [1]}, r"pair=\[1\]: expected tuple\[float, float\]"),
        ({"options": [1]}, "options"),
        ({"name": ["x" * 500]}, "…: expected"),
    ],
)
def test_other_types_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        check_arguments(part, given)


def test_registries_check_before_they_build() -> None:
    built = []
    registry = Registry("thing")
    registry.register("a")(lambda **given: built.append(given))

    @registry.register("b")
    def make(count: int) -> None:
        built.append(count)

    registry.get("b", count=3)
    with pytest.raises(ValueError, match="thing 'b': count=None: expected int"):
        registry.get("b", count=None)
    assert built == [3]
    for found, name, wrong in (
        (objectives.registry, "soft_targets", {"temperature": [4]}),
        (methods.registry, "tinybert", {"layers": {}}),
        (models.registry, "tiny_cnn", {"width": "8"}),
    ):
        with pytest.raises(ValueError, match=f"{name}.*expected"):
            found.check_arguments(name, wrong)
