"""Errors of other libraries in our words."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from limbeck.utils.disk_full import is_disk_full
from limbeck.utils.optional_packages import MissingPackageError

LONGEST = 300  # characters of a text of another library


class LibraryError(ValueError):
    """Another library cannot do what it was asked for; the message says what, and the reason that it gives."""


def summary(error: BaseException) -> str:
    """Returns the text of an error in one line, not longer than `LONGEST`; with its kind where the text alone says little."""
    text = " ".join(str(error).split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return text if isinstance(error, ValueError | OSError | ImportError) and text else f"{type(error).__name__}: {text}"


@contextmanager
def library_errors(doing: str) -> Iterator[None]:
    """Makes a `LibraryError` of every error that another library raises within the block.

    What stays: errors that are raised by a line of this package, a missing package, a missing file, a full disk.

    Args:
        doing: what is done, which begins the message: "args.config: Transformers cannot build this model".
    """
    try:
        yield
    except (MissingPackageError, FileNotFoundError, LibraryError):
        raise
    except Exception as error:
        if is_disk_full(error) or (isinstance(error, ValueError) and _is_ours(error)):
            raise
        raise LibraryError(f"{doing}: {summary(error)}") from error


def _is_ours(error: BaseException) -> bool:
    """Whether an error is raised by a line of this package."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("limbeck.")
