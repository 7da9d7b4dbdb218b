"""Parts of a user's own, from a Python file given by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from limbeck.recipe.text import RecipeError


def load_plugin(path: str | Path) -> None:
    """Run a Python file given by hand, so that what it registers can be named in recipes."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None or not Path(path).exists():
        raise RecipeError(f"--plugin {path}: there is no such Python file")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
