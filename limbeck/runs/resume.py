"""Whether a run may start or resume in a folder, and the folder made ready for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limbeck.recipe import RecipeError, read_fields
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.old_keys import rename_old_keys
from limbeck.runs.folder import RECIPE, STUDENT, VERDICT, RunError, resume_command
from limbeck.runs.own_files import delete_drafts, delete_run, is_left_over, is_run, mark_run
from limbeck.runs.plugins import save_plugins
from limbeck.utils import distributed

CHANGEABLE = ("targets", "description", "export")  # fields that a resumed run may change


def check_folder(recipe: BaseRecipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Raises `RunError` if the folder holds anything that this run would overwrite. Nothing is written.

    Args:
        resume: the folder may hold a run of the same recipe.
        force: the folder may hold any run; `prepare_folder` deletes its files.
    """
    if resume and force:
        raise RunError("--resume continues a run and --force starts it over; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out {folder} is a file; choose a directory")
    files = [path.name for path in folder.iterdir()] if folder.exists() else []
    if all(is_left_over(name) for name in files):
        return
    written = folder / RECIPE
    if not is_run(folder):
        raise RunError(f"{folder} holds files that are no run; they are not changed; choose another --out")
    if not (resume or force):
        raise RunError(
            f"{folder} holds a run already; continue it with --resume, start over with --force, or choose another --out"
        )
    if not resume or not written.exists():
        return
    before = read_resolved(type(recipe), written)
    if changed := changed_fields(before, recipe.model_dump(mode="json")):
        raise RunError(
            f"{folder} was started with another recipe: {'; '.join(changed)}. Continue with its own: {resume_command(folder)}"
        )


def is_prepared(recipe: BaseRecipe, folder: Path) -> bool:
    """Whether the folder holds nothing but models trained before the run of this recipe, as `limbeck cache build` leaves it."""
    written = folder / RECIPE
    if not (is_run(folder) and written.exists()):
        return False
    begun = any(folder.glob("checkpoints/seed-*")) or any((folder / name).exists() for name in (STUDENT, VERDICT))
    return not begun and not changed_fields(read_resolved(type(recipe), written), recipe.model_dump(mode="json"))


def read_resolved(kind: type[BaseRecipe], path: Path) -> dict[str, Any]:
    """Returns the fields of a recipe that a run wrote, with the defaults of fields that are newer than the run."""
    content: dict[str, Any] = rename_old_keys(read_fields(path), str(path))
    try:
        return kind.from_dict(content, str(path), files=False).model_dump(mode="json")
    except RecipeError:  # of a plugin that is not loaded, say: compare what is written
        return content


def changed_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Returns one line for each field that differs. Targets and exports may change, and seeds may be added."""
    now, before = ({name: part[name] for name in part if name not in CHANGEABLE} for part in (now, before))
    seeds = before.get("seeds")
    if isinstance(seeds, list) and now["seeds"][: len(seeds)] == seeds:
        now["seeds"] = seeds
    return list(_changed_fields(before, now, ""))


def _changed_fields(before: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _changed_fields(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path} was {before!r} and is {now!r}"


def prepare_folder(recipe: BaseRecipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Makes the folder ready, under its lock: deletes the former run unless `resume` is set, and writes marker and recipe.

    The folder is checked again: since the first check another process may have made a run in it.

    Raises:
        RunError: see `check_folder`.
    """
    refused: RunError | None = None
    if distributed.rank() == 0:
        try:
            check_folder(recipe, folder, resume=resume, force=force)
        except RunError as error:
            refused = error
        else:
            mark_run(folder)
            delete_drafts(folder)
            if not resume:
                delete_run(folder)
            recipe.write(folder / RECIPE)
            save_plugins(folder)
    if distributed.any_process(refused is not None):
        raise refused or RunError(f"{folder}: the first process found that it cannot be used")
