"""Atomic writes of files and of whole folders."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".draft"  # end of the name of a folder that is being written, or is being replaced


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`. A reader, also after a crash, sees either the old file or the new one, never a part of it.

    Raises:
        OSError: with the path in `filename`, by which a full disk is named.
    """
    try:
        _write_beside(path, content)
    except OSError as error:
        if error.errno is not None:  # of the system
            error.filename = os.fspath(path)
        raise


def _write_beside(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp creates files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` in UTF-8 to `path` as `write_atomic` does, and make its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder` to write into. It takes the name and the place of `folder` at the end.

    A reader, also after a crash, sees the old folder, the new one, or none, never a part of one. On an error `folder` stays as
    it is. What a killed process leaves beside it is deleted by the next call for the same folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=DRAFT))
    try:
        os.chmod(draft, 0o777 & ~_umask())
        yield draft
        for path in (*draft.rglob("*"), draft):
            flush(path)
        if os.path.lexists(folder):
            former = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=DRAFT)) / folder.name
            os.rename(folder, former)
        os.rename(draft, folder)
        flush(folder.parent)
    finally:
        remove_drafts(folder)


def remove_drafts(folder: Path) -> None:
    """Deletes what a killed process has left of writing `folder` with `new_folder`."""
    for draft in folder.parent.glob(f".{glob.escape(folder.name)}.*{DRAFT}"):
        shutil.rmtree(draft, ignore_errors=True)


def flush(path: Path) -> None:
    """Writes a file, or the entries of a folder, from the system's memory to the disk."""
    with contextlib.suppress(PermissionError):  # Windows does not open folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
