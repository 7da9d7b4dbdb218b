"""`limbeck runs`: the runs in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import JsonOption, console


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder that holds the runs.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """List the runs in a folder: state, progress, verdict, age."""
    from limbeck.runs import list_runs, runs_table

    found = list_runs(folder)
    if as_json:
        print(json.dumps([run.as_json() for run in found], indent=2, ensure_ascii=False))
    elif found:
        console.print(runs_table(found))
    else:
        console.print(f"no runs in {folder}", markup=False, highlight=False)
