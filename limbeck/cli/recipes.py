"""`limbeck recipes`: the built-in recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.shared import print_table


def recipes(
    action: Annotated[str | None, typer.Argument(help="show")] = None,
    name: Annotated[str | None, typer.Argument(help="Which recipe.")] = None,
) -> None:
    """List the built-in recipes, or show one: limbeck recipes show NAME."""
    from limbeck.recipe import built_in_recipes, find_recipe, read_yaml

    if action is None:
        contents = {name: read_yaml(path.read_text(encoding="utf-8")) for name, path in built_in_recipes().items()}
        rows = [{"name": name, "description": content.get("description", "")} for name, content in contents.items()]
        print_table(rows, ("name", "description"))
    elif action == "show" and name:
        print(find_recipe(name).read_text(encoding="utf-8"), end="")
    else:
        raise typer.BadParameter("expected: limbeck recipes, or limbeck recipes show NAME")
