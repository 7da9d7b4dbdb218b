"""The fields of a recipe file, before they are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from limbeck.recipe.errors import RecipeError
from limbeck.recipe.yaml_loader import read_yaml
from limbeck.utils.registry import nearest_names


def read_fields(path: Path) -> dict[str, Any]:
    """Returns the fields of a recipe file.

    Raises:
        RecipeError: a missing file, something else than a file, no YAML, or YAML that holds no fields.
    """
    if not path.exists():
        known = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        offer = f"; nearest: {', '.join(nearest_names(path.name, known))}" if known else ""
        raise RecipeError(f"recipe {path}: there is no such file{offer}")
    if path.is_dir():
        raise RecipeError(f"recipe {path} is a folder; name the .yaml file in it")
    if not path.is_file():
        raise RecipeError(f"recipe {path} is no file but a pipe or device; save the recipe in a file")
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe {path} holds {type(content).__name__}; expected fields: data, teacher, student, …")
    return content
