"""`limbeck export`: the results of a run as files for devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import EXPORT_FAILED, JsonOption, PluginOption, console, load_plugins, print_exports


def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    into: Annotated[list[str] | None, typer.Option("--format", help="onnx or executorch; may be given twice.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32 or int8; may be given twice.")] = None,
    result: Annotated[
        list[str] | None, typer.Option(help="One of several results, or a pattern; may be given twice; all when omitted.")
    ] = None,
    student_only: Annotated[bool, typer.Option("--student-only", help="Leave out the teacher, also if it is gone.")] = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the student of a run, or all its results, and its teacher as files for devices; check and measure each file.

    Formats and precisions come from the recipe when omitted, else ONNX in fp32. Exits with 4 when a file cannot be made.
    """
    from limbeck.evaluation import Verdict
    from limbeck.runs import export_run

    load_plugins(plugin)
    listener = None if as_json else console
    records = export_run(
        run,
        into=into or (),
        precisions=precision or (),
        results=result or (),
        student_only=student_only,
        console=listener,
    )
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
    else:
        verdict = Verdict.load(run)
        print_exports(records, verdict.metric.name, len(verdict.seeds))
        console.print(f"{run}/exports/ · {run}/report.html", style="dim", markup=False, soft_wrap=True)
    if any(record.error for record in records):
        raise typer.Exit(EXPORT_FAILED)
