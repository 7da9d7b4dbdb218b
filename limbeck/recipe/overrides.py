"""Changes from the command line: `--set training.epochs=3`."""

from __future__ import annotations

from typing import Any

import yaml

from limbeck.recipe.errors import RecipeError
from limbeck.recipe.yaml_loader import read_yaml


def apply_override(content: dict[str, Any], override: str) -> None:
    """Changes one value of `content` in place: `training.epochs=3`, `terms.0.soft_targets.weight=0.5`.

    The value is read as YAML. Short forms on the way, such as `train: digits`, are replaced by their long form. A key with dots
    is found where it stands, such as the actor `teachers.a` in `actors.teachers.a.training.epochs=1`.

    Raises:
        RecipeError: no `path=value`, a value that is no YAML, or a path that leads into a list or value where it cannot.
    """
    path, separator, text = override.partition("=")
    if not separator or not all(path.split(".")):
        raise RecipeError(f"--set {override!r}: expected path=value, such as training.epochs=3")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value does not read as YAML: {error}") from error
    names = path.split(".")
    section = names[0]
    node: Any = content
    while True:
        name = _first_key(node, names)
        key, names = _key(node, name, override), names[name.count(".") + 1 :]
        if not names:
            break
        node[key] = _long_form(node[key] if isinstance(node, list) else node.get(key), names[0], section)
        node = node[key]
    node[key] = value


def _first_key(node: Any, names: list[str]) -> str:
    """Returns the first names, joined by dots, that are a key of `node`; the first name alone if there are none."""
    starts = (".".join(names[:count]) for count in range(len(names), 0, -1))
    return next((start for start in starts if isinstance(node, dict) and start in node), names[0])


def _key(node: Any, name: str, override: str) -> Any:
    """Returns the key of a mapping or the index of a list that `name` stands for."""
    if isinstance(node, dict):
        return name
    if isinstance(node, list):
        if not name.isdigit() or int(name) >= len(node):
            raise RecipeError(f"--set {override!r}: {name!r} is no position in a list of {len(node)}")
        return int(name)
    raise RecipeError(f"--set {override!r}: {name!r} lies within {node!r}, which has no fields")


def _long_form(value: Any, child: str, section: str) -> Any:
    """Returns the long form of a short one: of `train: digits`, of `- random_crop`, of nothing at all."""
    if value is None:
        return {}
    if isinstance(value, str) and section == "data":
        return {"path": value}
    if isinstance(value, str) and child == value:
        return {value: {}}
    return value
