"""`limbeck evaluate`: the student of a run on other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import JsonOption, PluginOption, console, load_plugins


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    data: Annotated[str, typer.Option(help="A data file, folder or name.")],
    split: Annotated[str | None, typer.Option(help="Which part of the data.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the student of a run on other data."""
    from limbeck.runs import evaluate_run

    load_plugins(plugin)
    figures = evaluate_run(run, data, split=split, input=input_column, label=label)
    if as_json:
        print(json.dumps(figures))
    else:
        from limbeck.evaluation import number_format
        from limbeck.metrics import METRICS

        name = figures["metric"]
        shown = number_format.measured(figures[name], figures["ci95"], as_percent=METRICS[name].percent)
        sure = f", ECE {figures['ece']:.3f}" if "ece" in figures else ""
        console.print(f"{name} {shown} on {figures['items']:,} items{sure}", markup=False)
