"""Files that a killed writer left half written."""

from __future__ import annotations

import re
from pathlib import Path

PARTIAL = re.compile(
    r"\.(manifest\.json|README\.md|keys\.safetensors|\d+-\d+\.safetensors)\.\w+"
)  # as `write_atomic` names them


def find_partial_files(folder: Path) -> list[Path]:
    """Returns the half-written files in a store."""
    places = (folder, folder / "journal", *sorted((folder / "segments").glob("*")))
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if PARTIAL.fullmatch(path.name)]


def remove_partial_files(folder: Path) -> None:
    """Delete the half-written files in a store."""
    for path in find_partial_files(folder):
        path.unlink(missing_ok=True)
