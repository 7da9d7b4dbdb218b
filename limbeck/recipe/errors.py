"""Errors of recipes: one line a problem, with the field, the value and what was expected."""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from limbeck.utils.disk_full import NEXT, DiskFullError, describe_full, is_disk_full
from limbeck.utils.memory import describe_out_of_memory, is_out_of_memory
from limbeck.utils.registry import nearest_names

VALIDATION_TAGS = ("DatasetSpec", "Share", "list of views", "named views")  # kinds of a value; not part of its path
MAX_ERRORS = 20  # that are printed
MAX_PLACES = 3  # of a field that stands elsewhere
MAX_VALUE = 80  # characters of a value that are printed


class RecipeError(ValueError):
    """A recipe that cannot be run. The message names the field, the value and what was expected."""


@contextmanager
def in_field(field: str) -> Iterator[None]:
    """Names the field of an error of what it says: a file that is missing, a share that cannot be taken."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise RecipeError(f"{field}: {error}") from error


def format_errors(model: type[BaseModel], errors: Sequence[Any]) -> str:
    """Returns the lines of the first errors, and how many there are more."""
    lines = [format_error(model, error) for error in errors[:MAX_ERRORS]]
    return "\n".join([*lines, *([f"  … and {len(errors) - MAX_ERRORS:,} more"] if len(errors) > MAX_ERRORS else [])])


def format_error(model: type[BaseModel], error: Any) -> str:
    """Returns one line for one of pydantic's errors; an unknown field gets the nearest known names."""
    path = ".".join(str(step) for step in error["loc"] if step not in VALIDATION_TAGS and not str(step).startswith("function-"))
    if error["type"] == "extra_forbidden":
        *place, name = error["loc"]
        known = _fields_at(model, place)
        if elsewhere := [*_within(model, place, known, name), *_above(model, place, name)]:
            return f"  {path}: there is no such field here; it is {', '.join(elsewhere[:MAX_PLACES])}"
        return f"  {path}: there is no such field; nearest: {', '.join(nearest_names(str(name), known))}"
    given = error.get("input")
    value = repr(given[:MAX_VALUE] if isinstance(given, str) else given)
    value = value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 3] + "…"
    message = re.sub(r"^Value error, ", "", error["msg"])
    got = "" if isinstance(error.get("input"), Mapping) and error["type"] == "value_error" else f" (got {value})"
    return f"  {path or 'recipe'}: {message}{got}"


def user_message(error: BaseException) -> str:
    """Returns the text of an error for users, without the words of the libraries and of the system.

    Errors of pydantic, of options that are checked as fields of a recipe, become one line a problem.
    """
    if is_out_of_memory(error):
        return f"{describe_out_of_memory(error)}; take smaller models, batches or data"
    if is_disk_full(error) and not isinstance(error, DiskFullError):
        return f"{describe_full(error)}. {NEXT}"
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
        return describe_os_error(error)
    if isinstance(error, UnicodeError):
        return f"a text that is read or written is no UTF-8: {error}"
    if not isinstance(error, ValidationError):
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    model = next((kind for kind in _subclasses(BaseModel) if kind.__name__ == error.title), BaseModel)
    return "\n".join(format_error(model, each).strip() for each in error.errors())


def describe_os_error(error: OSError) -> str:
    """Returns the path of an error of the system and what is wrong with it."""
    path = os.fsdecode(error.filename)
    if error.errno == errno.ENAMETOOLONG:
        longest = max(re.split(r"[/\\]", path), key=len)
        return f"{longest[:MAX_VALUE]}…: this name of a file has {len(longest):,} characters, more than the system allows (255)"
    return f"{path}: {error.strerror.lower() if error.strerror else error}"


def _subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


@functools.cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Returns the names of the fields at a path of the model; those of the model if the part there has none."""
    return _own_fields_at(model, path) or list(model.model_fields)


def _own_fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    schema = _schema(model)
    here: Any = schema
    for step in path:
        here = _resolve(here, schema)
        here = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, here)
    return list(_resolve(here, schema).get("properties", {}))


def _within(model: type[BaseModel], place: Sequence[Any], known: Sequence[str], name: Any) -> list[str]:
    """Returns the fields of this name that stand one or two levels deeper, as paths."""
    levels = [[[field] for field in known]]
    levels.append([[field, part] for (field,) in levels[0] for part in _own_fields_at(model, [*place, field])])
    paths = (path for level in levels for path in level if name in _own_fields_at(model, [*place, *path]))
    return [".".join(map(str, [*place, *path, name])) for path in paths]


def _above(model: type[BaseModel], place: Sequence[Any], name: Any) -> list[str]:
    """Returns the fields of this name of what holds the part, as paths, from the inside out."""
    outer = (list(place[:depth]) for depth in reversed(range(len(place))))
    return [
        ".".join(map(str, [*path, name])) if path else f"{name}: of the recipe"
        for path in outer
        if name in _own_fields_at(model, path)
    ]


def _resolve(node: Any, schema: Mapping[str, Any]) -> Any:
    for option in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return node
