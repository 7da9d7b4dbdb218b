"""The command line. Heavy imports wait until a command needs them, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Knowledge distillation: a large teacher becomes a small student, and the gain is proven.",
)
console = Console()
errors = Console(stderr=True)

USER_ERROR, TARGETS_MISSED, INTERRUPTED = 2, 3, 130  # exit codes
USER_ERRORS = (ValueError, RuntimeError, ImportError, OSError)  # what a user can mend; all else is a fault of ours
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="A Python file whose parts the recipe may name.")]


@app.command()
def distill(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in one.")],
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME when omitted.")] = None,
    seed: Annotated[int | None, typer.Option(help="One seed instead of the recipe's.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: training.epochs=3")] = None,
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the control.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over in a directory that holds a run.")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Distil a student as a recipe says, train its control, and judge both.

    Exits with 0 when the recipe's targets are met and with 3 when they are not.
    """
    from limbeck.ranks import rank
    from limbeck.recipe import Recipe
    from limbeck.runs import carry_out, command
    from limbeck.verdict import arms_table

    _load_plugins(plugin)
    changes = [*(change or []), *([f"seeds=[{seed}]"] if seed is not None else []), *(["control=false"] if no_control else [])]
    job = Recipe.read(find_recipe(recipe), changes)
    folder = out or Path("runs") / job.name
    listener = None if as_json else console
    try:
        verdict = carry_out(job, folder, resume=resume, force=force, console=listener, progress=not as_json)
    except KeyboardInterrupt as stop:
        if rank() == 0:
            again = command(folder, *(f"--plugin={path}" for path in plugin or [])) if (folder / "recipe.yaml").exists() else ""
            errors.print(f"{stop or 'stopped'}. {again and 'Go on with:'}", style="yellow", soft_wrap=True)
            errors.print(again, highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from stop
    if rank() != 0:
        return
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        console.print(arms_table(verdict))
        console.print(verdict.sentence(), style="bold", markup=False, highlight=False)
        for name, target in verdict.targets.items():
            mark = "[green]met[/green]" if target.met else "[red]missed[/red]"
            console.print(f"  target {name}: {mark}, goal {target.goal:g}, value {_number(target.value)} {target.reason or ''}")
        console.print(f"{folder}/verdict.json · {folder}/report.html · {folder}/student/", style="dim", soft_wrap=True)
    raise typer.Exit(0 if verdict.met else TARGETS_MISSED)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    data: Annotated[str, typer.Option(help="A data file, folder or name.")],
    split: Annotated[str | None, typer.Option(help="Which part of the data.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate the student of a run on other data."""
    from limbeck.runs import evaluate as evaluate_run

    figures = evaluate_run(run, data, split=split, input=input_column, label=label)
    if as_json:
        print(json.dumps(figures))
    else:
        from limbeck.verdict import wording

        shown = wording.measured(figures["accuracy"], figures["ci95"])
        console.print(f"accuracy {shown} on {figures['items']:,} items, ECE {figures['ece']:.3f}", markup=False)


@app.command()
def compare(
    what: Annotated[list[str], typer.Argument(help="Run directories, or one comparison recipe.")],
    out: Annotated[Path | None, typer.Option(help="Where a comparison runs; runs/NAME when omitted.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: training.epochs=3")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a comparison that was stopped.")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Several runs in one table; or, given a recipe with variants, carry them all out and rank them.

    A comparison may be worked on by several processes at once: start the same command with --resume in each.
    """
    _load_plugins(plugin)
    if len(what) == 1 and not Path(what[0]).is_dir():
        _compare_methods(what[0], out, change or [], resume=resume, as_json=as_json)
    else:
        _compare_runs([Path(run) for run in what], as_json=as_json)


def _compare_methods(recipe: str, out: Path | None, changes: list[str], *, resume: bool, as_json: bool) -> None:
    from limbeck.comparisons import compare_methods
    from limbeck.recipe import Comparison
    from limbeck.verdict import methods_table

    job = Comparison.read(find_recipe(recipe), changes)
    listener = None if as_json else console
    verdict = compare_methods(job, out or Path("runs") / job.name, resume=resume, console=listener, progress=not as_json)
    if verdict is None:
        return
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        console.print(methods_table(verdict))


def _compare_runs(runs: list[Path], *, as_json: bool) -> None:
    from limbeck.runs import verdicts
    from limbeck.verdict import compare as compare_verdicts
    from limbeck.verdict import compare_table

    found = verdicts(runs)
    if as_json:
        print(json.dumps(compare_verdicts(found), indent=2))
    else:
        console.print(compare_table(found, width=console.width))


@app.command()
def report(runs: Annotated[list[Path], typer.Argument(help="Run directories.")]) -> None:
    """Write report.html anew from a run's verdict and log."""
    from limbeck.verdict import write_report

    for run in runs:
        console.print(str(write_report(run)))


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="One method.")] = None, as_json: Json = False) -> None:
    """The objectives: name, kind of knowledge, formula, source, defaults."""
    from limbeck.objectives import names
    from limbeck.objectives.catalogue import describe

    rows = [describe(one) for one in ([name] if name else names())]
    if as_json:
        print(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
    elif name:
        for field, value in rows[0].items():
            console.print(f"[bold]{field}[/bold]  {value}", highlight=False, markup=True)
    else:
        _table(rows, ("name", "knowledge", "formula", "source"))


@app.command()
def recipes(
    action: Annotated[str | None, typer.Argument(help="show")] = None,
    name: Annotated[str | None, typer.Argument(help="Which recipe.")] = None,
) -> None:
    """List the built-in recipes, or show one: limbeck recipes show NAME."""
    if action is None:
        import yaml

        contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in built_in()}
        rows = [{"name": name, "description": content.get("description", "")} for name, content in contents.items()]
        _table(rows, ("name", "description"))
    elif action == "show" and name:
        print(find_recipe(name).read_text(encoding="utf-8"), end="")
    else:
        raise typer.BadParameter("expected: limbeck recipes, or limbeck recipes show NAME")


@app.command()
def schema() -> None:
    """The JSON schema of recipes, for editors."""
    from limbeck.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=2))


@app.command()
def version() -> None:
    """The version."""
    from importlib.metadata import version as installed

    print(installed("limbeck"))


def built_in() -> list[Path]:
    """The recipes that come with Limbeck: beside the modules where it is installed, at the top of its repository otherwise."""
    here = Path(__file__).parent
    return sorted((here / "recipes").glob("*.yaml")) or sorted((here.parent / "recipes").glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """A recipe by path, or a built-in one by name."""
    path = Path(name)
    by_name = {file.stem: file for file in built_in()}
    if path.is_file() or (path.suffix in (".yaml", ".yml") and path.stem not in by_name):
        return path
    if name not in by_name:
        from limbeck.registry import UnknownNameError

        raise UnknownNameError("recipe", name, list(by_name))
    return by_name[name]


def _load_plugins(paths: list[Path] | None) -> None:
    from limbeck.recipe import load_plugin

    for path in paths or []:
        load_plugin(path)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    from rich.table import Table

    table = Table(header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")  # the first is what one types
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    console.print(table)


def main() -> None:
    """Run the command line; what a user can mend is one message, not a traceback."""
    warnings.showwarning = _warn
    code: int | str | None = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    except USER_ERRORS as error:
        errors.print("error:", style="bold red", end=" ")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        code = USER_ERROR
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and (isinstance(code, int) or code is None):
        from limbeck.ranks import end

        end(code or 0)
    sys.exit(code)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    errors.print("warning:", style="yellow", end=" ")
    errors.print(str(message), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
