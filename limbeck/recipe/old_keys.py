"""Recipe keys of the previous version. They are read with a warning for one version."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from limbeck.recipe.errors import RecipeError

RENAMED = {"store": "cache", "preset": "method"}
RENAMED_IN_STAGES = {"slow": "lr_scale"}
RENAMED_VARIANTS = {"alone": "control"}


def rename_old_keys(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Returns the recipe with the current name of each renamed key. Warns about each one.

    Raises:
        RecipeError: both the old and the new key are given.
    """
    current = _renamed(content, RENAMED, origin, "{}:")
    if isinstance(current.get("variants"), Mapping):
        current["variants"] = _renamed(current["variants"], RENAMED_VARIANTS, origin, "variant {}")
    if isinstance(current.get("stages"), list):
        current["stages"] = [
            _renamed(stage, RENAMED_IN_STAGES, f"{origin}: stages.{number}", "{}:") if isinstance(stage, Mapping) else stage
            for number, stage in enumerate(current["stages"])
        ]
    return current


def rename_old_override(override: str) -> str:
    """Returns a `--set path=value` override with the current name of its first key."""
    path, separator, value = override.partition("=")
    first, *rest = path.split(".")
    return ".".join([RENAMED.get(first, first), *rest]) + separator + value


def _renamed(content: Mapping[str, Any], names: Mapping[str, str], origin: str, kind: str) -> dict[str, Any]:
    for old, new in names.items():
        if old not in content:
            continue
        both = f"{origin}: {kind.format(old)} is the old name of {kind.format(new)}"
        if new in content:
            raise RecipeError(f"{both}, and both are given; keep the latter")
        warnings.warn(f"{both}; it is read for one more version", FutureWarning, stacklevel=3)
    return {names.get(key, key): value for key, value in content.items()}
