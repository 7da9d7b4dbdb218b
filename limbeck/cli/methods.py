"""`limbeck methods`: the objectives and the methods, with their sources."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from limbeck.cli.shared import JsonOption, PluginOption, console, load_plugins, print_table


def methods(
    name: Annotated[str | None, typer.Argument(help="One objective or method.")] = None,
    paradigm: Annotated[str | None, typer.Option(help="Only methods of this paradigm, such as online.")] = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """The objectives (formula, source, defaults), and the methods made of them, by paradigm."""
    load_plugins(plugin)
    rows = _of_one(name) if name else _all(paradigm)
    if as_json:
        print(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
    elif name:
        _print_one(rows)
    else:
        objectives = [row for row in rows if "knowledge" in row]
        if objectives:
            console.print("Objectives: `terms: [hint: {…}]`", style="bold", markup=False)
            print_table(objectives, ("name", "knowledge", "formula", "source"))
        console.print("Methods: `method: {NAME: {…}}`", style="bold", markup=False)
        print_table([row for row in rows if "paradigm" in row], ("name", "paradigm", "summary", "source"))


def _all(paradigm: str | None) -> list[dict[str, Any]]:
    from limbeck.methods.description import by_paradigm
    from limbeck.objectives import names
    from limbeck.objectives.description import describe
    from limbeck.utils.registry import UnknownNameError

    found = by_paradigm()
    if paradigm is None:
        return [*map(describe, names()), *found]
    if kept := [row for row in found if row["paradigm"] == paradigm]:
        return kept
    raise UnknownNameError("paradigm", paradigm, list(dict.fromkeys(row["paradigm"] for row in found)))


def _of_one(name: str) -> list[dict[str, Any]]:
    """An objective, a method, or both of one name."""
    from limbeck.methods import registry
    from limbeck.methods.description import describe_method
    from limbeck.objectives import registry as objectives
    from limbeck.objectives.description import describe
    from limbeck.utils.registry import UnknownNameError

    found = [describe(name)] if name in objectives else []
    found += [describe_method(name)] if name in registry else []
    if not found:
        raise UnknownNameError("objective or method", name, [*objectives, *registry])
    return found


def _print_one(rows: list[dict[str, Any]]) -> None:
    from limbeck.utils.terminal import shown

    for row in rows:
        for field, value in row.items():
            console.print(f"[bold]{field}[/bold]  {shown(value)}", highlight=False)
