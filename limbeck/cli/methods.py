"""`limbeck methods`: the objectives and their sources."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from limbeck.cli.shared import JsonOption, console, print_table


def methods(
    name: Annotated[str | None, typer.Argument(help="One method.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The objectives: name, kind of knowledge, formula, source, defaults."""
    from limbeck.objectives import names
    from limbeck.objectives.description import describe
    from limbeck.utils.terminal import shown

    rows = [describe(each) for each in ([name] if name else names())]
    if as_json:
        print(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
    elif name:
        for field, value in rows[0].items():
            console.print(f"[bold]{field}[/bold]  {shown(value)}", highlight=False)
    else:
        print_table(rows, ("name", "knowledge", "formula", "source"))
