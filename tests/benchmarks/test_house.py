"""The size and the imports of the package: how they are counted, and that they stay within their limits."""

from __future__ import annotations

import ast
import textwrap

import pytest

from benchmarks import house


@pytest.mark.parametrize("bar", house.BARS, ids=lambda bar: bar.figure)
def test_the_house_is_in_order(bar: house.Bar) -> None:
    value, where = bar.measure()
    assert bar.met(value), f"{bar.figure}: {value:g}, the limit is {bar}; {where}"


def modules(**sources: str) -> dict[str, ast.Module]:
    named = {"limbeck" if name == "top" else f"limbeck.{name.replace('__', '.')}": text for name, text in sources.items()}
    return {name: ast.parse(textwrap.dedent(text)) for name, text in named.items()}


def test_imports_in_functions_count_and_those_for_types_do_not() -> None:
    found = house.import_graph(
        modules(
            top="",
            a="""
            from typing import TYPE_CHECKING
            import limbeck.d
            if TYPE_CHECKING:
                from limbeck.c import thing
            else:
                from limbeck import e
            def load():
                from limbeck.b import thing
            """,
            b="from limbeck.b.inner import x",
            b__inner="from limbeck.b import c, inner",
            c="",
            d="import torch",
            e="",
        )
    )
    assert found["limbeck.a"] == {"limbeck.b", "limbeck.d", "limbeck.e"}
    assert found["limbeck.b.inner"] == {"limbeck.b"}  # `c` is a name in b, `inner` is the module itself
    assert found["limbeck.d"] == set()


def test_floors_and_cycles() -> None:
    rooms = house.room_graph(
        {
            "limbeck": {"limbeck.cli.main"},
            "limbeck.cli.main": {"limbeck.runs.folder", "limbeck.core"},
            "limbeck.runs.folder": {"limbeck.runs.lock", "limbeck.core"},
            "limbeck.runs.lock": set(),
            "limbeck.core": set(),
        }
    )
    assert rooms == {"cli": {"runs", "core"}, "runs": {"core"}, "core": set()}
    assert house.longest_path(rooms) == ["cli", "runs", "core"]
    assert house.cycles(rooms) == []
    assert house.cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert house.longest_path({"a": {"b"}, "b": {"a", "c"}, "c": set()}) == ["a↔b", "c"]
