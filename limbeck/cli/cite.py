"""`limbeck cite`: BibTeX of recipes, runs and methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli.shared import PluginOption, load_plugins

if TYPE_CHECKING:
    from limbeck.recipe.base import BaseRecipe


def cite(
    what: Annotated[list[str], typer.Argument(help="Recipes, run directories, or names of methods and models.")],
    plugin: PluginOption = None,
) -> None:
    """Print BibTeX of the papers used by recipes, runs or methods."""
    from limbeck.evaluation.citations import merge

    load_plugins(plugin)
    print(merge(_bibtex(each) for each in what))


def _bibtex(what: str) -> str:
    from limbeck.evaluation.citations import bibtex, bibtex_of
    from limbeck.recipe import built_in_recipes, find_recipe, read_fields

    if Path(what).is_dir():
        written = Path(what) / "recipe.yaml"
        if not written.exists():
            raise ValueError(f"{what}: it holds no recipe.yaml, so it is no run directory")
        content = read_fields(written)
        try:
            return bibtex(content)  # the recipe of a run has every field; its plugins need not be there
        except (AttributeError, LookupError, TypeError, ValueError):  # or it was changed since
            return bibtex(_checked(content, written))
    names_recipe = what.endswith((".yaml", ".yml")) or Path(what).exists() or what in built_in_recipes()
    if not names_recipe:
        return bibtex_of(what)
    path = find_recipe(what)
    return bibtex(_checked(read_fields(path), path))


def _checked(content: dict[str, Any], path: Path) -> BaseRecipe:
    from limbeck.recipe import kind_of

    return kind_of(content).from_dict(content, str(path), files=False)
