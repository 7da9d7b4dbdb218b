"""What several commands use: consoles, exit codes, common options, plugins, tables.

Commands import torch, pydantic and the rest of the package within their functions, so that `limbeck --help` stays fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.utils.terminal import TerminalConsole, error_output, shown

if TYPE_CHECKING:
    from limbeck.evaluation import Export, Verdict

console = TerminalConsole()
error_console = error_output()

USER_ERROR, TARGETS_MISSED, EXPORT_FAILED, INTERRUPTED = 2, 3, 4, 130  # exit codes
USER_ERRORS = (ValueError, RuntimeError, ImportError, OSError, MemoryError)  # what a user can fix; anything else is a bug

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in recipe.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PluginOption = Annotated[list[Path] | None, typer.Option("--plugin", help="A Python file whose parts the recipe may name.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Change one value: training.epochs=3")]


def load_plugins(paths: Sequence[Path] | None) -> None:
    """Runs each plugin file once."""
    from limbeck.recipe import load_plugin

    for path in dict.fromkeys(paths or ()):
        load_plugin(path)


def print_remarks(lines: Iterable[str]) -> None:
    """Prints warnings about what a table shows."""
    for line in lines:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def print_exports(records: Sequence[Export], metric: str, seeds: int) -> None:
    """Prints the records of exported files as a table, and the remarks on them."""
    from limbeck.export import exports_table, remarks

    console.print(exports_table(records, width=console.width, metric=metric, seeds=seeds))
    print_remarks(remarks(records))


def print_verdict(verdict: Verdict, folder: Path) -> None:
    """Prints the verdict of a run: its table, what it says, which targets are met, its exports, and the files in its folder."""
    from limbeck.evaluation import arms_table
    from limbeck.evaluation.remarks import arm_remarks

    console.print(arms_table(verdict))
    print_remarks(arm_remarks(verdict))
    console.print("\n".join(verdict.sentences()), style="bold", markup=False, highlight=False)
    if verdict.shared_items is not None:
        console.print(verdict.shared_items.describe(), style="yellow", markup=False, highlight=False)
    for name, target in verdict.targets.items():
        mark = "[green]met[/green]" if target.met else "[red]missed[/red]"
        value = "–" if target.value is None else f"{target.value:.4g}"
        console.print(f"  target {shown(name)}: {mark}, goal {target.goal:g}, value {value} {shown(target.reason or '')}")
    if verdict.exports:
        print_exports(verdict.exports, verdict.metric.name, len(verdict.seeds))
    kept = [f"{folder}/student/", *([f"{folder}/results/"] if len(verdict.results) > 1 else [])]
    kept += [f"{folder}/exports/"] if verdict.exports else []
    written = " · ".join([f"{folder}/verdict.json", f"{folder}/report.html", *kept])
    console.print(written, style="dim", markup=False, soft_wrap=True)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints the columns of `rows`. The first column, the names for the command line, is never wrapped."""
    from rich.table import Table

    table = Table(header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(shown(row[column]) for column in columns))
    console.print(table)
