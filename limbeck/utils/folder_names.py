"""Names from outside that become names of folders."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST = 100  # characters; file systems hold 255 bytes


def require_folder_name(name: str, field: str) -> str:
    """Returns the name, which may become that of a folder directly within another.

    Raises:
        ValueError: it is empty, too long, starts with a dot or a dash, or holds a slash or a control character.
    """
    if not name or len(name) > LONGEST or name.startswith((".", "-")) or re.search(r"[/\\:\x00-\x1f\x7f-\x9f]", name):
        shown = repr(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")
        raise ValueError(
            f"{field}: {shown} names a folder; use up to {LONGEST} letters, digits, '-', '_', '+' and '.', and no '.' or "
            "'-' in front"
        )
    return name


def child_folder(parent: Path, name: str, field: str) -> Path:
    """Returns the folder of this name in `parent`.

    Raises:
        ValueError: see `require_folder_name`, or the folder is a link to a place outside of `parent`.
    """
    child = parent / require_folder_name(name, field)
    if child.resolve().parent != parent.resolve():
        raise ValueError(f"{field}: {child} is a link to {child.resolve()}; to write there, name that folder itself (--out)")
    return child
