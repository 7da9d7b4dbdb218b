"""Recipes changed at random: keys, values, types, depth, names and paths, or the letters of their text."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

HOSTILE_TEXTS = (
    *("", " ", ".", "..", "../..", "../outside", "/", "/etc/passwd", "/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem"),
    *("~", "~nobody/x", "${HOME}", "${NO_SUCH_VARIABLE}", "${package:json}", "${package:no.such}", "a/b", "a\\b", "C:\\x"),
    *("\x00", "\x1b[2J", "[bold]x[/dim]", "nul\x00l", "é", "\u202ex", "💥", "a" * 300, "x" * 20_000, "%s%n", "{0}", "a b", "-"),
    *(
        "true",
        "null",
        "1e999",
        "0x10",
        "auto",
        "student",
        "teacher",
        "student:",
        ":",
        "@",
        "*",
        "student@*:x#y",
        "**",
        "[",
        "a[",
        "(1)",
    ),
    *(
        "digits",
        "data.csv",
        "data.parquet",
        "weights.pt",
        "missing.safetensors",
        "folder",
        "hf://x/y",
        "http://127.0.0.1:9/x",
        "user/name",
    ),
)
HOSTILE_NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    10**6,
    2**31,
    2**63,
    10**30,
    -(10**30),
    0.0,
    -0.5,
    0.5,
    1e-300,
    1e308,
    float("inf"),
    float("nan"),
)
HOSTILE_OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], {"": None}, {1: 2}, {None: 1}, {True: []}, {"a": {"a": {"a": {}}}}),
    *(datetime.date(2024, 1, 1), b"\xff\x00", {"x", "y"}, ["a"] * 50, list(range(100)), {f"k{i}": i for i in range(100)}),
)
Place = tuple[Any, ...]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """All places in a nested value, the outermost first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def at(value: Any, path: Place) -> Any:
    for key in path:
        value = value[key]
    return value


def words(contents: Mapping[str, Any]) -> list[str]:
    """All keys and texts of recipes: names that mean something, perhaps elsewhere."""
    found: set[str] = set()
    for content in contents.values():
        for path in places(content):
            found.update(key for key in path if isinstance(key, str))
            if isinstance(part := at(content, path), str):
                found.add(part)
    return sorted(found)


@st.composite
def mutated(draw: st.DrawFn, contents: Mapping[str, Any], texts: Mapping[str, str], known: list[str]) -> tuple[str, str]:
    """Draws the name of a recipe and its text after one to four changes.

    Args:
        known: see `words`.
    """
    name = draw(st.sampled_from(sorted(contents)))
    if draw(st.integers(0, 9)) == 0:
        return name, _changed_text(draw, texts[name])
    content = copy.deepcopy(contents[name])
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3, 4)))):
        content = _changed(draw, content, known)
    return name, _written(draw, content)


def _changed(draw: st.DrawFn, content: Any, known: list[str]) -> Any:
    found = [path for path in places(content) if path]
    if not found:
        return content
    path = draw(st.sampled_from(found))
    above, key = at(content, path[:-1]), path[-1]
    change = draw(
        st.sampled_from((_removed, _renamed, _replaced, _replaced, _replaced, _altered, _swapped, _wrapped, _doubled))
    )
    change(draw, content, above, key, known)
    return content


def _removed(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    del above[key]


def _renamed(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    new = draw(
        st.one_of(
            st.sampled_from(known), st.sampled_from(HOSTILE_TEXTS), st.text(max_size=5), st.just(f"{key}x"), st.integers()
        )
    )
    if isinstance(above, dict):
        above[new] = above.pop(key)
    else:
        above[key] = {new: above[key]}


def _replaced(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    kinds = (
        st.sampled_from(HOSTILE_TEXTS),
        st.sampled_from(HOSTILE_NUMBERS),
        st.sampled_from(HOSTILE_OTHERS),
        st.sampled_from(known),
    )
    above[key] = copy.deepcopy(draw(st.one_of(*kinds)))


def _altered(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    """Another value of the same type, or the same value in another type."""
    value = above[key]
    if isinstance(value, bool):
        above[key] = draw(st.sampled_from((not value, str(value), int(value))))
    elif isinstance(value, int | float):
        above[key] = draw(st.sampled_from((-value, value * 1000, value / 1000, str(value), [value], value + 0.5, int(value))))
    elif isinstance(value, str):
        cut = draw(st.integers(0, len(value)))
        above[key] = draw(
            st.sampled_from((value.upper(), value[:cut], value[:cut] + "x" + value[cut:], value + " ", [value], {value: {}}))
        )
    elif isinstance(value, list):
        above[key] = draw(st.sampled_from((value[::-1], value * 2, value[:1], dict(enumerate(value)))))
    elif isinstance(value, dict):
        above[key] = draw(st.sampled_from((list(value), list(value.values()), dict(reversed(value.items())), [value])))


def _swapped(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    """The value of another place."""
    above[key] = copy.deepcopy(at(content, draw(st.sampled_from([path for path in places(content) if path]))))


def _wrapped(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    """The same value some levels deeper."""
    name = draw(st.sampled_from([None, *known]))
    for _ in range(draw(st.sampled_from((1, 1, 2, 30, 100)))):
        above[key] = [above[key]] if name is None else {name: above[key]}


def _doubled(draw: st.DrawFn, content: Any, above: Any, key: Any, known: list[str]) -> None:
    """The same value once more beside itself."""
    if isinstance(above, list):
        above.insert(key, copy.deepcopy(above[key]))
    else:
        above[draw(st.sampled_from(known))] = copy.deepcopy(above[key])


def _written(draw: st.DrawFn, content: Any) -> str:
    try:
        return yaml.safe_dump(content, allow_unicode=draw(st.booleans()), sort_keys=False)
    except (yaml.YAMLError, TypeError, RecursionError):
        return json.dumps(content, default=str, skipkeys=True)


def _changed_text(draw: st.DrawFn, text: str) -> str:
    """Characters, words or lines that are removed, inserted or repeated."""
    for _ in range(draw(st.integers(1, 5))):
        place, length = draw(st.integers(0, len(text))), draw(st.integers(0, 30))
        inserted = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=4), st.just(text[place : place + length] * 3)))
        text = text[:place] + inserted + text[place + length :]
    return text


PIECES = (
    "",
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "!x ",
    "? ",
    "|",
    ">",
    "#",
    "'",
    '"',
    "---\n",
    "...\n",
    "\ufeff",
    "\x00",
    "\x85",
    "<<: ",
    "1e400",
    "0o7",
    "1_000",
    "~",
    "yes",
    ",",
    "%",
)
Changer = Callable[[st.DrawFn, Any, Any, Any, list[str]], None]
