"""Errors of the teacher cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from limbeck.utils import disk_full


class StoreError(ValueError):
    """A store cannot be used as requested; the message names the place and the remedy."""


class CorruptFileError(StoreError):
    """A file of a store is missing, truncated, or not what was written."""

    def __init__(self, path: Path, what: str) -> None:
        first = "delete this file and build" if path.exists() else "build"
        super().__init__(
            f"{path}: {what}; nothing was read from it. Remedy: {first} the store again with `limbeck cache build` (only what "
            "is missing is computed), or copy this file from where it is intact"
        )
        self.path, self.what = path, what


class IdentityError(StoreError):
    """A store has another identity than the run that opens it."""

    def __init__(self, folder: Path, stored: Mapping[str, object], wanted: Mapping[str, object]) -> None:
        names = [name for name in {**stored, **wanted} if stored.get(name) != wanted.get(name)]
        self.names = names
        differences = "; ".join(
            f"{name}: the store was made with {_shown(stored, name)}, this run has {_shown(wanted, name)}" for name in names
        )
        super().__init__(f"{folder}: this store does not belong to this run. {differences}. Use another folder for this run")


class DiskFullError(StoreError, disk_full.DiskFullError):
    """The disk filled up while a store was written; the shards written before are complete."""


class SignalError(ValueError):
    """A signal that cannot be stored.

    Attributes:
        row: the row of the item in the batch.
        what: the reason.
    """

    def __init__(self, row: int, what: str) -> None:
        super().__init__(f"row {row}: {what}")
        self.row, self.what = row, what


def _shown(identity: Mapping[str, object], name: str) -> str:
    return repr(identity[name]) if name in identity else "nothing of that name"
