"""`limbeck compare`: finished runs side by side, or the methods of a comparison recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.shared import JsonOption, PluginOption, SetOption, console, load_plugins, print_remarks

if TYPE_CHECKING:
    from limbeck.evaluation import ComparisonVerdict


def compare(
    what: Annotated[list[str], typer.Argument(help="Run directories, or one comparison: its recipe or directory.")],
    out: Annotated[Path | None, typer.Option(help="The directory of a comparison; runs/NAME when omitted.")] = None,
    change: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a comparison that was stopped.")] = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show several runs in one table; or run every variant of a comparison recipe and rank them.

    Several processes can work on one comparison: start the same command with --resume in each.
    """
    load_plugins(plugin)
    if len(what) == 1 and not Path(what[0]).is_dir():
        _compare_variants(what[0], out, change or [], resume=resume, as_json=as_json)
    else:
        _compare_runs([Path(run) for run in what], as_json=as_json)


def _compare_variants(recipe: str, out: Path | None, overrides: Sequence[str], *, resume: bool, as_json: bool) -> None:
    from limbeck.recipe import Comparison, find_recipe
    from limbeck.runs import run_comparison
    from limbeck.utils.folder_names import child_folder

    job = Comparison.read(find_recipe(recipe), overrides)
    folder = out or child_folder(Path("runs"), job.name, "name")
    listener = None if as_json else console
    verdict = run_comparison(job, folder, resume=resume, console=listener, progress=not as_json)
    if verdict is None:  # other processes still run variants
        return
    _print_comparison(verdict, as_json=as_json)


def _print_comparison(verdict: ComparisonVerdict, *, as_json: bool) -> None:
    from limbeck.evaluation import methods_table

    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        console.print(methods_table(verdict))


def _compare_runs(runs: Sequence[Path], *, as_json: bool) -> None:
    from limbeck.evaluation import compare as compare_verdicts
    from limbeck.evaluation import compare_table
    from limbeck.evaluation.remarks import arm_remarks
    from limbeck.evaluation.report import is_comparison, load_comparison
    from limbeck.evaluation.test_data import other_test_data
    from limbeck.export import remarks
    from limbeck.runs import load_verdicts

    if len(runs) == 1 and is_comparison(runs[0]):
        return _print_comparison(load_comparison(runs[0]), as_json=as_json)
    found = load_verdicts(runs)
    if as_json:
        print(json.dumps(compare_verdicts(found), indent=2))
    else:
        console.print(compare_table(found, width=console.width))
        print_remarks(other_test_data(found))
        print_remarks(
            f"{run}: {line}" for run, verdict in found.items() for line in (*arm_remarks(verdict), *remarks(verdict.exports))
        )
