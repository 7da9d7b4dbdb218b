"""YAML as recipes are written, within bounds, so that no text takes long to read or to refuse."""

from __future__ import annotations

import re
from typing import Any

import yaml


class RecipeTextError(yaml.YAMLError, ValueError):
    """A text that is no YAML, or more than a recipe may hold."""


MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 1_000_000, 10_000, 60  # values: with those that aliases repeat


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which `1e-3` is a number (as in YAML 1.2 and JSON) and a field given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            name = self.construct_object(key)
            if name in seen:
                raise yaml.YAMLError(f"field {name!r} is given twice, the second time within line {node.end_mark.line}")
            seen.add(name)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def read_yaml(text: str) -> Any:
    """Returns the content of a YAML text. No code in it is run.

    Raises:
        RecipeTextError: no YAML, a field that is given twice, or more than a recipe may hold: characters, values (aliases count
            for what they repeat), depth.
    """
    try:
        return _read(text)
    except yaml.YAMLError as error:
        raise RecipeTextError(str(error)) from error


def _read(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; a recipe has at most {MAX_CHARACTERS:,}")
    if text.count("\n") + text.count(",") > MAX_VALUES / 2:  # a name and a value on each line; found before it is parsed
        raise yaml.YAMLError(_too_many())
    _check_depth(text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, 1)
        return loader.construct_document(node)
    except (ValueError, RecursionError, OverflowError) as error:  # of a date such as 2024-99-99, or a number of 5,000 digits
        raise yaml.YAMLError(f"a value cannot be read: {error}") from error
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Refuses brackets and dashes so deep that the parser would run out of stack, before it is called."""
    deep = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        deep = deep + 1 if bracket in "[{" else max(0, deep - 1)
        if deep > 4 * MAX_DEPTH:  # some may be within a text
            raise yaml.YAMLError(_too_deep())
    if re.search(rf"^ *(?:[-?] +){{{MAX_DEPTH}}}", text, re.MULTILINE):
        raise yaml.YAMLError(_too_deep())


def _too_deep() -> str:
    return f"values are nested deeper than {MAX_DEPTH} levels"


def _too_many() -> str:
    return f"it holds more than {MAX_VALUES:,} values, with those that aliases repeat"


def _count_values(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Returns the number of values below a node, with those that aliases repeat.

    Raises:
        yaml.YAMLError: more than `MAX_VALUES`, deeper than `MAX_DEPTH`, or a value that holds itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if depth > MAX_DEPTH:
        raise yaml.YAMLError(_too_deep())
    if id(node) in known:
        if known[id(node)] == 0:
            raise yaml.YAMLError(f"the value of line {node.start_mark.line + 1} holds itself by an alias")
        return known[id(node)]
    known[id(node)] = 0
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    count = 1
    for part in parts:
        count += _count_values(part, known, depth + 1)
        if count > MAX_VALUES:
            raise yaml.YAMLError(_too_many())
    known[id(node)] = count
    return count
