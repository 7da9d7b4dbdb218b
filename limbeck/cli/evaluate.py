"""`limbeck evaluate`: a run, or an exported file, on other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.shared import JsonOption, PluginOption, console, load_plugins, print_remarks

if TYPE_CHECKING:
    from limbeck.runs import Evaluation


def evaluate(
    what: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or an exported file (.onnx, .pte).")],
    data: Annotated[str, typer.Option(help="A data file, folder or name.")],
    split: Annotated[str | None, typer.Option(help="Which part of the data.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    task: Annotated[str | None, typer.Option(help="Of a file: classification when omitted, or as its run says.")] = None,
    metric: Annotated[str | None, typer.Option(help="Of a file: the task's first when omitted, or as its run says.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Of a file that reads texts: a folder, or a name on the hub.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Of a file that reads texts: the most tokens.")] = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the student of a run on other data, with its control and teacher if the run has kept them; or one file.

    An exported file is run in its own runtime. In the folder of its run it needs no options.
    """
    from limbeck.evaluation.remarks import arm_remarks
    from limbeck.runs import FileOptions, evaluate_file, evaluate_run
    from limbeck.utils.distributed import rank

    load_plugins(plugin)
    options = {"--task": task, "--metric": metric, "--tokenizer": tokenizer, "--max-length": max_length}
    columns = {"split": split, "input": input_column, "label": label}
    listener = None if as_json else console
    if what.is_file() or (what / "config.json").is_file() or (not what.exists() and what.suffix):
        found = evaluate_file(what, data, FileOptions(*options.values()), console=listener, **columns)  # type: ignore[arg-type]
    else:
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise typer.BadParameter(f"{given[0]} is an option of exported files; a run has its own in recipe.yaml")
        found = evaluate_run(what, data, console=listener, **columns)
    if rank() != 0:
        return
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        _print_evaluation(found)
        print_remarks(arm_remarks(found.verdict))
        if found.verdict.shared_items is not None:
            print_remarks([f"{found.verdict.shared_items.describe()}; results on them say little about new data"])


def _print_evaluation(found: Evaluation) -> None:
    from limbeck.evaluation import arms_table, number_format
    from limbeck.evaluation.verdict import reached

    verdict = found.verdict
    count = "1 item" if verdict.items == 1 else f"{verdict.items:,} items"
    if len(verdict.results) > 1:
        console.print(arms_table(verdict))
        console.print("\n".join(verdict.sentences()), style="bold", markup=False, highlight=False)
        console.print(f"on {count}", style="dim", highlight=False)
    elif len(verdict.compared) > 1:
        console.print(arms_table(verdict))
        known = verdict.gain is not None or verdict.result.gains
        kept = verdict.sentence() if known else reached(verdict.result, verdict.metric)
        console.print(kept, style="bold", markup=False, highlight=False)
        console.print(f"on {count}", style="dim", highlight=False)
    else:
        student = verdict.student
        shown = number_format.measured(student.metric, student.ci95, as_percent=verdict.metric.percent)
        ece = "" if student.ece is None else f", ECE {student.ece:.3f}"
        console.print(f"{verdict.metric.name} {shown} on {count}{ece}", markup=False)
