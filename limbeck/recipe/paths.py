"""Paths in recipes: environment variables, folders of installed packages, and files that do not exist."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from limbeck.recipe.errors import RecipeError
from limbeck.utils.registry import nearest_names


def expand_variables(text: str, field: str) -> str:
    """Replaces `${NAME}`, and `$NAME` at the beginning of a path, by an environment variable, and `${package:NAME}` by the
    folder of an installed package.

    Args:
        field: of the recipe, for messages.

    Raises:
        RecipeError: the variable is not set, or the package is not installed.
    """

    def value(match: re.Match[str]) -> str:
        package, name = match[1], match[2] or match[3]
        if package:
            return _package_folder(name, f"{field}: {text!r}")
        if name not in os.environ:
            raise RecipeError(f"{field}: {text!r} needs the environment variable {name}, which is not set")
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$\{(package:)?(\w+)\}|^\$([A-Za-z_]\w*)(?=/|$)", value, text))


def _package_folder(package: str, where: str) -> str:
    """Returns the folder of a package without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RecipeError(
            f"{where} needs the package {package}, which is not installed: pip install {package.replace('_', '-')}"
        )
    return next(iter(found.submodule_search_locations))


def is_file_path(text: str, path: Path) -> bool:
    """Returns whether `text`, with its variables expanded to `path`, cannot be the name of a data set."""
    return path.suffix != "" or path.is_absolute() or len(path.parts) > 2 or text.startswith((".", "~", "$"))


def describe_missing(path: Path) -> str:
    """Returns a message that a file does not exist, with the nearest names in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    offer = ", ".join(nearest_names(path.name, sorted(os.listdir(folder))))
    return f"there is no file {path}" + (f"; nearest: {offer}" if offer else "; the folder is empty")
