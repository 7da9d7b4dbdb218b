"""The recipes that come with Limbeck."""

from __future__ import annotations

from pathlib import Path

from limbeck.utils.registry import UnknownNameError


def built_in_recipes() -> dict[str, Path]:
    """Returns the built-in recipes by name: inside the package if it is installed, else at the top of its repository."""
    package = Path(__file__).parents[1]
    files = list((package / "recipes").glob("*.yaml")) or (package.parent / "recipes").glob("*.yaml")
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def find_recipe(name: str) -> Path:
    """Returns the path of a recipe, given as a path or as the name of a built-in recipe.

    Raises:
        UnknownNameError: no file and no built-in recipe has this name.
    """
    path, known = Path(name), built_in_recipes()
    if path.is_file() or (path.suffix in (".yaml", ".yml") and path.stem not in known):
        return path
    if name not in known:
        raise UnknownNameError("recipe", name, list(known))
    return known[name]
