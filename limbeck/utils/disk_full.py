"""Full disks, as the libraries that write files report them, and what a user is told."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors and tokenizers raise errors of their own kind, with these words of the system
WORDS = re.compile(r"No space left on device|Disk quota exceeded|File too large \(os error|not enough space on the disk")
# torch.save does not say why, and numpy only how much it has written
CUT_SHORT = re.compile(
    r"inline_container.*(unexpected pos|failed)|PytorchStreamWriter failed writing|\d+ requested and \d+ written"
)
SHOWN, LONGEST = 100, 200  # MB of free room up to which it is told; characters of a text of another library
NEXT = "Make room, then run the same command again"


class DiskFullError(OSError):
    """A disk is full, or the user's share of it. The message has the path and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that there is no room left, on the disk or in the user's share of it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)
        if (isinstance(error, OSError) and error.errno in FULL) or WORDS.search(text) or CUT_SHORT.search(text):
            return True
        error = error.__cause__
    return False


@contextmanager
def explain_disk_full(folder: Path, remedy: str = NEXT) -> Iterator[None]:
    """Makes one `DiskFullError` of all errors that say that the disk is full, with the folder and what to do.

    Args:
        folder: that is written within the block.
        remedy: what is kept and what to do.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(f"{describe_full(error, folder)}. {remedy}") from error


def describe_full(error: BaseException, folder: Path | None = None) -> str:
    """Returns which disk is full: the path that could not be written, and the room that is left there."""
    named = getattr(error, "filename", None)
    paths = (
        [Path(os.fsdecode(named))] if isinstance(named, str | bytes) else [*([folder] if folder else [Path()]), _temporary()]
    )
    paths = paths[:1] if len(paths) == 1 or _free(paths[0]) <= _free(paths[1]) else paths[1:]
    free = _free(paths[0]) / 1e6
    room = f" ({free:,.1f} MB are free)" if free < SHOWN else ""  # more: it is the user's share that is used up
    said = error.strerror if isinstance(error, OSError) and named and error.strerror else str(error)  # without the path again
    return f"{paths[0]}: the disk is full{room}: {' '.join(said.split())[:LONGEST]}"


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # none can be written
        return Path("/tmp")


def _free(path: Path) -> float:
    """Bytes that are free where a path is, or would be."""
    import shutil

    for place in (path, *path.absolute().parents):
        try:
            return float(shutil.disk_usage(place).free)
        except OSError:
            continue
    return 0.0
