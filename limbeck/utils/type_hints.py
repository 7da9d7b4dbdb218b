"""Arguments from recipes checked against the type hints of what takes them."""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

PLAIN = (int, float, str, bool, type(None))
CONTAINERS = (list, tuple, dict, Sequence, Mapping)
LONGEST = 60  # characters of a value in a message


class ArgumentTypeError(ValueError):
    """An argument whose type is not that of its hint."""


def check_arguments(part: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raises for an argument whose type is not that of its hint, as the values of JSON are understood.

    Only hints of numbers, texts, booleans, None and of lists and mappings of these are checked. A list is taken for a tuple and
    a whole number for a float; a text is never taken for a number.

    Raises:
        ArgumentTypeError: the first argument of a wrong type; the message names it, its value and the type.
    """
    hints = _plain_hints(part)
    for name, value in arguments.items():
        if name in hints and not _fits(hints[name], value):
            shown = repr(value)
            shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
            raise ArgumentTypeError(f"{name}={shown}: expected {_described(hints[name])}")


@functools.cache
def _plain_hints(part: Callable[..., Any]) -> dict[str, Any]:
    """The hints of the parameters that can be checked, by name."""
    called: Any = part.__init__ if inspect.isclass(part) else inspect.unwrap(part)
    found = {}
    for name, hint in getattr(called, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: hint})
        try:
            resolved = typing.get_type_hints(alone, getattr(called, "__globals__", {}))[name]
        except (NameError, TypeError, AttributeError):  # a name that is imported for type checkers only
            continue
        if name != "return" and _is_plain(resolved):
            found[name] = resolved
    return found


def _is_plain(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return True
    if hint in PLAIN or hint is Any or hint is ...:
        return True
    if origin in (Union, types.UnionType, *CONTAINERS):
        return all(_is_plain(part) for part in typing.get_args(hint))
    return hint in CONTAINERS


def _fits(hint: Any, value: Any) -> bool:
    from pydantic import ValidationError

    try:
        _adapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    except (TypeError, ValueError, RecursionError):  # no value of JSON: an object made in Python
        return True
    return True


@functools.lru_cache(maxsize=1024)
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter  # on first use: most commands need no registry

    return TypeAdapter(hint)


def _described(hint: Any) -> str:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_described(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if hint in PLAIN:
        return "None" if hint is type(None) else str(hint.__name__)
    return str(hint).replace("typing.", "").replace("collections.abc.", "")
