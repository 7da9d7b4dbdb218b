"""Recipe keys of the previous version. They are read with a warning for one version."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from limbeck.recipe.yaml_text import RecipeError

RENAMED = {"store": "cache", "preset": "method"}
RENAMED_VARIANTS = {"alone": "control"}


def rename_old_keys(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Returns the recipe with the current name of each renamed key. Warns about each one.

    Raises:
        RecipeError: both the old and the new key are given.
    """
    current = _renamed(content, RENAMED, origin, "{}:")
    if isinstance(current.get("variants"), Mapping):
        current["variants"] = _renamed(current["variants"], RENAMED_VARIANTS, origin, "variant {}")
    return current


def rename_old_override(override: str) -> str:
    """Returns a `--set path=value` override with the current name of its first key."""
    path, separator, value = override.partition("=")
    first, *rest = path.split(".")
    return ".".join([RENAMED.get(first, first), *rest]) + separator + value


def _renamed(content: Mapping[str, Any], names: Mapping[str, str], origin: str, kind: str) -> dict[str, Any]:
    for old, new in names.items():
        if old in content and new in content:
            raise RecipeError(
                f"{origin}: {kind.format(old)} is the old name of {kind.format(new)}, and both are given; keep the latter"
            )
        if old in content:
            text = f"{origin}: {kind.format(old)} is now called {kind.format(new)}; the old name is read for one more version"
            warnings.warn(text, FutureWarning, stacklevel=3)
    return {names.get(key, key): value for key, value in content.items()}
