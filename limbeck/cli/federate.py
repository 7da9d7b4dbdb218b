"""`limbeck federate`: clients that keep their data, and a server that makes one model of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from limbeck.cli.shared import (
    INTERRUPTED,
    TARGETS_MISSED,
    JsonOption,
    PluginOption,
    RecipeArgument,
    SetOption,
    console,
    error_console,
    load_plugins,
)

RUN = "run"


class RunByDefault(TyperGroup):
    """`limbeck federate RECIPE` is short for `limbeck federate run RECIPE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


federate = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Train with clients that keep their data: limbeck federate RECIPE simulates them, or asks real ones.",
)


@federate.command(RUN)
def run(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME when omitted.")] = None,
    simulate: Annotated[int | None, typer.Option(help="Simulate this many clients; the recipe's number when omitted.")] = None,
    change: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the server was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over in a directory that holds a run.")] = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the rounds of a recipe and of its control, FedAvg, and evaluate both.

    Exits with 0 when the recipe's targets are met, and with 3 when they are not.
    """
    from limbeck.recipe import Federation, find_recipe
    from limbeck.utils.folder_names import child_folder

    load_plugins(plugin)
    overrides = [*(change or []), *([] if simulate is None else [f"federated.clients={simulate}"])]
    job = Federation.read(find_recipe(recipe), overrides)
    _require_flower()
    folder = out or child_folder(Path("runs"), job.name, "name")
    listener = None if as_json else console
    try:
        verdict = _run(job, folder, resume=resume, force=force, console=listener)
    except KeyboardInterrupt as stop:
        _print_resume_command(folder)
        raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        _print_verdict(verdict, folder)
    raise typer.Exit(0 if verdict.met else TARGETS_MISSED)


def _require_flower() -> None:
    """Raises an error with the command that installs Flower, if it is missing."""
    from importlib.util import find_spec

    from limbeck.utils.optional_packages import MissingPackageError

    if find_spec("flwr") is None:
        raise MissingPackageError('limbeck federate needs the package flwr; install it: pip install "limbeck[federated]"')


def _run(job: Any, folder: Path, **options: Any) -> Any:
    from limbeck.integrations.flower.run import run_federation

    return run_federation(job, folder, **options)


def _print_resume_command(folder: Path) -> None:
    from limbeck.runs import resume_command

    error_console.print("stopped; the last round is kept. Continue with:", style="yellow", markup=False, soft_wrap=True)
    error_console.print(resume_command(folder), markup=False, highlight=False, soft_wrap=True)


def _print_verdict(verdict: Any, folder: Path) -> None:
    from limbeck.evaluation import arms_table

    console.print(arms_table(verdict))
    console.print("\n".join(verdict.sentences()), style="bold", markup=False, highlight=False)
    console.print(
        f"{folder}/verdict.json · {folder}/report.html · {folder}/student/", style="dim", markup=False, soft_wrap=True
    )
