"""Files that are either whole or not there, and folders that one process works in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


class FolderInUseError(RuntimeError):
    """Another process works in this folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep `folder` to this process. The system frees it when the process ends, however it ends.

    Raises:
        FolderInUseError: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks; two processes in one folder are the user's to avoid
        yield
        return
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(
                f"{folder}: another process is at work in it; wait for it, or choose another folder"
            ) from error
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process works in `folder` now."""
    try:
        import fcntl
    except ImportError:
        return False
    if not (folder / LOCK).exists():
        return False
    with (folder / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
