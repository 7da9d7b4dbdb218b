"""Checks of the types of arguments, whose messages name the field, what it is, and what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from types import UnionType
from typing import Any


def require_sequence(field: str, value: Any, kind: type | UnionType, example: str) -> None:
    """Raises a ValueError unless `value` is a list or tuple of `kind`.

    Args:
        field: what the message calls it.
        example: what it should look like.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{field}: it is {type(value).__name__}; expected a list, such as {example}")
    for number, one in enumerate(value):
        require(f"{field}.{number}", one, kind, example)


def require_mapping(field: str, value: Any, example: str) -> None:
    """Raises a ValueError unless `value` is a mapping whose keys are names."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{field}: it is {type(value).__name__}; expected a mapping from names, such as {example}")
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"{field}: the name {name!r} is {type(name).__name__}; expected a string, such as {example}")


def require_whole(field: str, value: Any, least: int) -> None:
    """Raises a ValueError unless `value` is a whole number, `least` or more; None, which stands for no number, passes."""
    if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value < least):
        raise ValueError(f"{field}={value!r}: expected a whole number, {least} or more")


def require(field: str, value: Any, kind: type | UnionType, example: str) -> None:
    """Raises a ValueError unless `value` is a `kind`."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        wanted = kind.__name__ if isinstance(kind, type) else " or ".join(one.__name__ for one in kind.__args__)
        raise ValueError(f"{field}: it is {type(value).__name__}; expected {wanted}, such as {example}")
