"""`limbeck distill`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.shared import (
    EXPORT_FAILED,
    INTERRUPTED,
    TARGETS_MISSED,
    JsonOption,
    PluginOption,
    RecipeArgument,
    SetOption,
    console,
    error_console,
    load_plugins,
    print_verdict,
)

if TYPE_CHECKING:
    pass


def distill(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME when omitted.")] = None,
    seed: Annotated[int | None, typer.Option(help="One seed instead of the recipe's.")] = None,
    change: SetOption = None,
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the control.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over in a directory that holds a run.")] = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Distil the student of a recipe, train its control, and evaluate both.

    Exits with 0 when the recipe's targets are met, with 3 when they are not, and with 4 when an export failed.
    """
    from limbeck.recipe import Recipe, find_recipe
    from limbeck.runs import is_failed, run_recipe
    from limbeck.utils.distributed import rank
    from limbeck.utils.folder_names import child_folder

    load_plugins(plugin)
    overrides = list(change or [])
    overrides += [] if seed is None else [f"seeds=[{seed}]"]
    overrides += ["control=false"] if no_control else []
    job = Recipe.read(find_recipe(recipe), overrides)
    folder = out or child_folder(Path("runs"), job.name, "name")
    listener = None if as_json else console
    try:
        verdict = run_recipe(job, folder, resume=resume, force=force, console=listener, progress=not as_json)
    except KeyboardInterrupt as stop:
        if rank() == 0:
            _print_resume_command(folder, str(stop))
        raise typer.Exit(INTERRUPTED) from stop
    if rank() != 0:
        return
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        print_verdict(verdict, folder)
    if any(map(is_failed, verdict.exports)):
        raise typer.Exit(EXPORT_FAILED)
    raise typer.Exit(0 if verdict.met else TARGETS_MISSED)


def _print_resume_command(folder: Path, reason: str) -> None:
    from limbeck.runs import resume_command

    command = resume_command(folder) if (folder / "recipe.yaml").exists() else ""
    error_console.print(f"{reason or 'stopped'}. {command and 'Continue with:'}", style="yellow", markup=False, soft_wrap=True)
    error_console.print(command, markup=False, highlight=False, soft_wrap=True)
