"""The folder of the user in which files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """A folder for one kind of files: in `LIMBECK_CACHE`, else in the user's cache folder. It need not exist."""
    given = os.environ.get("LIMBECK_CACHE")
    if given:
        return Path(given).expanduser() / name
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "limbeck" / name
