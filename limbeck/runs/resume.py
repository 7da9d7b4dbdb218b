"""Whether a run may start or resume in a folder, and the folder made ready for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limbeck.recipe import Recipe, RecipeError, read_yaml
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.old_keys import rename_old_keys
from limbeck.runs.folder import RECIPE, STUDENT, VERDICT, RunError, resume_command
from limbeck.runs.plugins import save_plugins
from limbeck.utils import distributed
from limbeck.utils.folder_lock import LOCK_FILE

CHANGEABLE = ("targets", "description", "export")  # fields that a resumed run may change


def check_folder(recipe: Recipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Raises `RunError` if the folder holds anything that this run would overwrite. Nothing is written.

    Args:
        resume: the folder may hold a run of the same recipe.
        force: the folder may hold any run; `prepare_folder` deletes it.
    """
    if resume and force:
        raise RunError("--resume continues a run and --force starts it over; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out {folder} is a file; choose a directory")
    files = [path.name for path in folder.iterdir()] if folder.exists() else []
    if all(name == LOCK_FILE or name.startswith(f".{RECIPE}.") for name in files):  # left by a run that was killed at its start
        return
    written = folder / RECIPE
    if not written.exists():
        raise RunError(f"{folder} holds files that are no run; they are not changed; choose another --out")
    if not (resume or force):
        raise RunError(
            f"{folder} holds a run already; continue it with --resume, start over with --force, or choose another --out"
        )
    if not resume:
        return
    before = read_resolved(Recipe, written)
    if changed := changed_fields(before, recipe.model_dump(mode="json")):
        raise RunError(
            f"{folder} was started with another recipe: {'; '.join(changed)}. Continue with its own: {resume_command(folder)}"
        )


def is_prepared(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds nothing but models trained before the run of this recipe, as `limbeck cache build` leaves it."""
    written = folder / RECIPE
    begun = any(folder.glob("checkpoints/seed-*")) or any((folder / name).exists() for name in (STUDENT, VERDICT))
    return written.exists() and not begun and not changed_fields(read_resolved(Recipe, written), recipe.model_dump(mode="json"))


def read_resolved(kind: type[BaseRecipe], path: Path) -> dict[str, Any]:
    """Returns the fields of a recipe that a run wrote, with the defaults of fields that are newer than the run."""
    content: dict[str, Any] = rename_old_keys(read_yaml(path.read_text(encoding="utf-8")), str(path))
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


def prepare_folder(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Writes the resolved recipe into the folder; empties the folder first unless the run resumes."""
    if distributed.rank() == 0:
        if not resume:
            _empty(folder)
        recipe.write(folder / RECIPE)
        save_plugins(folder)
    distributed.barrier()


def _empty(folder: Path) -> None:
    """Deletes the content of a run folder, the recipe last: if the process is killed, the folder is still known as a run."""
    paths = [path for path in folder.iterdir() if path.name != LOCK_FILE]
    for path in sorted(paths, key=lambda path: path.name == RECIPE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
