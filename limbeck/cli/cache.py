"""`limbeck cache`: cached teacher outputs, built, described, verified and pruned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import TARGETS_MISSED, JsonOption, PluginOption, RecipeArgument, console, load_plugins

cache = typer.Typer(no_args_is_help=True, help="Cached teacher outputs: build, info, verify, prune.")
FolderArgument = Annotated[Path, typer.Argument(help="A folder of cached teacher outputs.")]


@cache.command()
def build(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option(help="The folder of the cache; that of the recipe when omitted.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: cache.views=4")] = None,
    batch_size: Annotated[int, typer.Option(help="Items of one forward pass of the teacher.")] = 256,
    plugin: PluginOption = None,
) -> None:
    """Compute the outputs of the teacher, and of every actor with a cache, for all training items before any training.

    If it is stopped, the same command continues it. Under torchrun several processes share the work.
    """
    from limbeck.recipe import Recipe, find_recipe
    from limbeck.runs import build_cache

    load_plugins(plugin)
    built = build_cache(Recipe.read(find_recipe(recipe), change or []), out, console=console, batch_size=batch_size)
    for actor, folder in built.items():
        if len(built) > 1:
            console.print(actor, style="bold", markup=False)
        _print_cache(folder)


@cache.command()
def info(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """What a cache holds, its bytes per item and view, and the size of one more view."""
    if not as_json:
        _print_cache(folder)
        return
    from dataclasses import asdict

    from limbeck.runs import describe_cache

    print(json.dumps({tap: asdict(info) for tap, info in describe_cache(folder).items()}, indent=2))


@cache.command()
def verify(
    folder: FolderArgument,
    sample: Annotated[int, typer.Option(help="Items to compute again with the teacher; 0: checksums only.")] = 256,
    plugin: PluginOption = None,
) -> None:
    """Check every checksum, compute some items again, and print the largest error. Exits with 3 if it is too large."""
    from limbeck.runs import verify_cache

    load_plugins(plugin)
    checks = verify_cache(folder, sample)
    for check in checks:
        console.print(f"{check.name}: {check.summary()}", markup=False)
        for line in check.damaged:
            console.print(f"  {line}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(check.passed for check in checks) else TARGETS_MISSED)


@cache.command()
def prune(
    folder: FolderArgument,
    remove: Annotated[bool, typer.Option("--remove", help="Delete these files.")] = False,
) -> None:
    """List, or delete, files in a cache that are no part of it: files of killed builds."""
    from limbeck.runs import prune_cache

    for path in prune_cache(folder, remove=remove):
        console.print(f"{'removed' if remove else 'left over'}: {path}", markup=False, soft_wrap=True)


def _print_cache(folder: Path) -> None:
    """Prints a table with one column for each tap, so that it fits a narrow terminal."""
    from rich.table import Table

    from limbeck.evaluation import number_format
    from limbeck.runs import describe_cache
    from limbeck.utils.terminal import shown

    stores = describe_cache(folder)
    table = Table("", *map(shown, stores), header_style="bold")
    infos = list(stores.values())
    table.add_row("stored as", *(shown(", ".join(store.taps.values())) for store in infos))
    table.add_row("samples", *(f"{store.samples:,}" for store in infos))
    table.add_row("views of each", *(str(store.views) for store in infos))
    table.add_row("rows", *(f"{store.rows:,} of {store.samples * store.views:,}" for store in infos))
    if any(store.journal for store in infos):
        table.add_row("in the journal", *(f"{store.journal_rows:,} rows" for store in infos))
    per_row = ((number_format.NONE if store.per_item is None else f"{store.per_item:.1f}") for store in infos)
    table.add_row("bytes of a row", *per_row)
    table.add_row("total", *(number_format.size(store.total) for store in infos))
    table.add_row("one more view", *(number_format.size(store.per_view) for store in infos))
    console.print(table)
    console.print(str(folder), style="dim", markup=False, soft_wrap=True)
