"""The plugins of a run: remembered in its folder, and loaded again by the commands that read it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from limbeck.recipe import RecipeError, load_plugin, loaded_plugins
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import NotJsonError, read_json
from limbeck.utils.terminal import error_output, shown

FILE = "plugins.json"


def save_plugins(folder: Path) -> None:
    """Writes path and hash of the plugins that are loaded into the folder of a run; nothing if there are none."""
    found = [{"path": str(path), "sha256": _digest(path)} for path in loaded_plugins if path.is_file()]
    if found:
        write_text_atomic(folder / FILE, json.dumps(found, indent=2) + "\n")


def load_run_plugins(folder: Path) -> None:
    """Loads the plugins that a run was made with, and says so. Plugins that are loaded already are left as they are.

    Only files on this machine that are as they were when the run was made are loaded: a run folder cannot bring code along.

    Raises:
        RecipeError: a plugin is gone or has changed; the message names it and says how to go on.
    """
    written = folder / FILE
    if not written.exists():
        return
    known = {path.name for path in loaded_plugins}
    for path, digest in _entries(written):
        if path.name in known:
            continue
        if not path.is_file():
            raise RecipeError(f"run {folder}: its plugin {path} is gone; name the file where it is now: --plugin FILE")
        if _digest(path) != digest:
            raise RecipeError(f"run {folder}: its plugin {path} has changed since; to use it as it is now: --plugin {path}")
        error_output().print(f"[dim]plugin of the run: {shown(path)}[/dim]", soft_wrap=True, highlight=False)
        load_plugin(path)


def _entries(written: Path) -> list[tuple[Path, str]]:
    """The plugins of a run with their checksums."""
    try:
        return [(Path(entry["path"]), str(entry["sha256"])) for entry in read_json(written)]
    except (NotJsonError, TypeError, KeyError) as error:
        raise RecipeError(f"{written} is damaged; name the plugins of the run (--plugin FILE), and delete it") from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
