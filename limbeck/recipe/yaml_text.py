"""YAML as recipes are written: how it is read and changed, how environment variables and files in it are found."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from limbeck.utils.registry import nearest

TAGS = ("DatasetSpec", "Share")  # which of the two kinds of validation data an error is about; no field of the recipe


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the field, the value and what was expected."""


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number (as in YAML 1.2 and JSON) and a field given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"field {name!r} is given twice, the second time within line {node.end_mark.line}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def expand_variables(text: str, field: str) -> str:
    """Replace `${NAME}` by the environment's value, and `${package:NAME}` by the folder of an installed package, which may
    bring a model along."""

    def value(match: re.Match[str]) -> str:
        package, name = match.groups()
        if package:
            return _folder_of(name, f"{field}: {text!r}")
        if name not in os.environ:
            raise RecipeError(f"{field}: {text!r} needs the environment variable {name}, which is not set")
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$\{(package:)?(\w+)\}", value, text))


def _folder_of(package: str, where: str) -> str:
    """Where a package lies; it is found, not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RecipeError(
            f"{where} needs the package {package}, which is not installed: pip install {package.replace('_', '-')}"
        )
    return next(iter(found.submodule_search_locations))


def read_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


def apply_override(content: dict[str, Any], change: str) -> None:
    """Apply `training.epochs=3` or `terms.0.soft_targets.weight=0.5`; the value is read as YAML."""
    path, separator, text = change.partition("=")
    if not separator or not all(path.split(".")):
        raise RecipeError(f"--set {change!r}: expected path=value, such as training.epochs=3")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: the value does not read as YAML: {error}") from error
    *parents, last = path.split(".")
    place: Any = content
    for depth, name in enumerate(parents):
        key = _key(place, name, change)
        below = path.split(".")[depth + 1]
        place[key] = _long_form(place[key] if isinstance(place, list) else place.get(key), below, parents[0])
        place = place[key]
    place[_key(place, last, change)] = value


def _key(place: Any, name: str, change: str) -> Any:
    """Where `name` lies in what a path has come to."""
    if isinstance(place, dict):
        return name
    if isinstance(place, list):
        if not name.isdigit() or int(name) >= len(place):
            raise RecipeError(f"--set {change!r}: {name!r} is no position in a list of {len(place)}")
        return int(name)
    raise RecipeError(f"--set {change!r}: {name!r} lies within {place!r}, which has no fields")


def _long_form(place: Any, below: str, part: str) -> Any:
    """The long form of a short one, where a path leads into it: `train: digits`, `- random_crop`, or nothing at all."""
    if place is None:
        return {}
    if isinstance(place, str) and part == "data":
        return {"path": place}
    if isinstance(place, str) and below == place:
        return {place: {}}
    return place


def is_file_path(text: str, path: Path) -> bool:
    """Whether a path cannot be the name of a built-in data set or of one on the hub."""
    return path.suffix != "" or path.is_absolute() or len(path.parts) > 2 or text.startswith((".", "~", "$"))


def describe_missing(path: Path) -> str:
    """That a file is not there, and what is there instead."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    offer = ", ".join(nearest(path.name, sorted(os.listdir(folder))))
    return f"there is no file {path}" + (f"; nearest: {offer}" if offer else "; the folder is empty")


def format_error(model: type[BaseModel], error: Any) -> str:
    """One line a problem: the field, the value and what was expected."""
    place = ".".join(str(step) for step in error["loc"] if step not in TAGS and not str(step).startswith("function-"))
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"][:-1])
        return f"  {place}: there is no such field; nearest: {', '.join(nearest(str(error['loc'][-1]), known))}"
    shown = repr(error.get("input"))
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    message = re.sub(r"^Value error, ", "", error["msg"])
    got = "" if isinstance(error.get("input"), Mapping) and error["type"] == "value_error" else f" (got {shown})"
    return f"  {place or 'recipe'}: {message}{got}"


def _fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """The fields that exist where an unknown one was written."""
    schema = model.model_json_schema()
    here: Any = schema
    for step in path:
        here = _resolve(here, schema)
        here = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, here)
    return list(_resolve(here, schema).get("properties", {})) or list(model.model_fields)


def _resolve(node: Any, schema: Mapping[str, Any]) -> Any:
    for option in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return node
