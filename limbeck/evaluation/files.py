"""Texts that are either whole or not there."""

from __future__ import annotations

from pathlib import Path

from limbeck.utils.atomic_files import write_atomic


def write_whole(path: Path, text: str) -> None:
    """Write `path` in one piece, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
