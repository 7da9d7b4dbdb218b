"""`limbeck cite`: BibTeX of recipes, runs and methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import PluginOption, load_plugins


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
    from limbeck.recipe import Comparison, Recipe, built_in_recipes, find_recipe, read_yaml

    if Path(what).is_dir():
        written = Path(what) / "recipe.yaml"
        if not written.exists():
            raise ValueError(f"{what}: it holds no recipe.yaml, so it is no run directory")
        return bibtex(read_yaml(written.read_text(encoding="utf-8")))  # the recipe of a run has every field
    names_recipe = what.endswith((".yaml", ".yml")) or Path(what).exists() or what in built_in_recipes()
    if not names_recipe:
        return bibtex_of(what)
    path = find_recipe(what)
    content = read_yaml(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(content, dict):
        return bibtex(Recipe.read(path))  # raises an error that describes the fault in the file
    kind = Comparison if "variants" in content else Recipe
    return bibtex(kind.from_dict(content, str(path), files=False))
