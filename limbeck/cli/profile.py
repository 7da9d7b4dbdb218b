"""`limbeck profile`: the cost of one inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import JsonOption, PluginOption, console, load_plugins, print_remarks


def profile(
    what: Annotated[Path, typer.Argument(help="A run directory, a student's folder, or an exported file.")],
    shape: Annotated[str, typer.Option(help="Of one input, if the file does not state it: 3,32,32")] = "",
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Size, MACs, latency and memory of one inference on one thread: of a run's models and exports, or of one file."""
    from dataclasses import asdict

    from limbeck.evaluation.remarks import latency_remark
    from limbeck.export import costs_table
    from limbeck.runs import profile_run

    load_plugins(plugin)
    axes = [axis.strip() for axis in shape.split(",") if axis.strip()]
    if not all(axis.isdigit() and int(axis) for axis in axes):
        raise typer.BadParameter(f"--shape {shape!r}: expected whole numbers, such as 3,32,32")
    rows = profile_run(what, [int(axis) for axis in axes], console=None if as_json else console)
    if as_json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}, indent=2))
    else:
        console.print(costs_table(rows, width=console.width))
        varying = {name: latency_remark(row.latency_ms) for name, row in rows.items()}
        print_remarks(f"{name}: {text}" for name, text in varying.items() if text)
