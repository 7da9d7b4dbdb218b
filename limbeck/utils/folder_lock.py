"""Advisory locks that give a folder to one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"


class FolderInUseError(RuntimeError):
    """Another process holds the lock of this folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`. The system releases it when the process ends, also when it is killed.

    On Windows there are no advisory locks, and nothing is locked.

    Raises:
        FolderInUseError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(
                f"{folder}: another process is at work in it; wait for it, or choose another folder"
            ) from error
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of `folder` now."""
    try:
        import fcntl
    except ImportError:
        return False
    if not (folder / LOCK_FILE).exists():
        return False
    with (folder / LOCK_FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
