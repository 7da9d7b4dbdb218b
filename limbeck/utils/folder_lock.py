"""Advisory locks that give a folder to one process at a time."""

from __future__ import annotations

import contextlib
import errno
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK_FILE = ".lock"
_RECORD = "hhqqi0q"  # `struct flock` of Linux: type, whence, start, length, process


class FolderLockError(RuntimeError):
    """The lock of a folder cannot be had."""


class FolderInUseError(FolderLockError):
    """Another process holds the lock of this folder."""


class ReadOnlyFolderError(FolderLockError):
    """This folder cannot be written, so that nobody can lock it."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`. The system releases it when the process ends, also when it is killed.

    On Windows there are no advisory locks, and nothing is locked.

    Raises:
        FolderInUseError: another process holds the lock.
        ReadOnlyFolderError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with _open_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(
                f"{folder}: another process is at work in it; wait for it, or choose another folder"
            ) from error
        if sys.platform == "linux":  # a second lock of the same file, which others can ask about without taking it
            with contextlib.suppress(OSError):
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_RECORD, fcntl.F_WRLCK, 0, 0, 0, 0))
        yield


def _open_lock(folder: Path) -> IO[str]:
    try:
        return (folder / LOCK_FILE).open("a")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ReadOnlyFolderError(f"{folder}: this folder cannot be written ({error.strerror})") from error


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of `folder` now. On Linux nothing is locked to find out."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            if sys.platform == "linux":
                asked = struct.pack(_RECORD, fcntl.F_WRLCK, 0, 0, 0, 0)
                found = struct.unpack(_RECORD, fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))[0]
                return bool(found != fcntl.F_UNLCK)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            return False
    except OSError:  # there is no such file, or it cannot be read
        return False
