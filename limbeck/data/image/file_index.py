"""Remembers what is known of image files, so that a later start reads none of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from limbeck.data.archive_member import ArchiveMember
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.cache_folder import cache_folder

Place: TypeAlias = str | ArchiveMember
Columns = Mapping[str, NDArray[np.int64]]

VALUES = ("hash", "height", "width", "grey", "decoded")
STATE = ("bytes", "changed")
NO_FILE = (-1, 0)
SETTLED = 2 * 10**9  # nanoseconds; a file that changed later than this before it was read may change again unseen


class FileIndex:
    """One file in the user's cache folder for each folder of images. A file is known by path, size and time of its last change,
    a member of an archive by those of the archive and its offset.

    An index that cannot be read or written is none: everything is read from the images.
    """

    def __init__(self, files: Sequence[Place | None], root: str | None) -> None:
        self._root, self._count, self._began = root, len(files), time.time_ns()
        self._rows = np.array([row for row, file in enumerate(files) if file is not None], dtype=np.int64)
        given = [file for file in files if file is not None]
        state = cache(file_state)  # an archive has many members
        self._states = np.array([state(file_of(file)) for file in given], dtype=np.int64).reshape(-1, len(STATE))
        self._names = pa.array([file if isinstance(file, str) else f"{file.path}:{file.offset}" for file in given], pa.string())
        self._known = _read(self._place) if root else None

    @classmethod
    def of(cls, files: Sequence[Place | None]) -> FileIndex:
        """The index of the folder that holds all these files or archives; None stands for an image that is in no file."""
        whole = [None if file is None else _absolute(file) for file in files]
        folders = {os.path.dirname(file_of(file)) for file in whole if file is not None}
        try:
            return cls(whole, os.path.commonpath(folders) if folders else None)
        except ValueError:  # on several drives
            return cls(whole, None)

    @property
    def states(self) -> NDArray[np.int64]:
        """Size and time of the last change of each file, `[N, 2]`; (0, 0) where there is no file."""
        whole = np.zeros((self._count, len(STATE)), dtype=np.int64)
        whole[self._rows] = self._states
        return whole

    @property
    def _place(self) -> Path:
        name = hashlib.blake2b(str(self._root).encode(), digest_size=16).hexdigest()
        return cache_folder("images") / f"{name}.parquet"

    def find(self, columns: Columns, *, decoded: bool) -> NDArray[np.bool_]:
        """Fills in what is known; returns in which rows something is.

        Args:
            columns: by name, `[N]`.
            decoded: only what was found by decoding is known.
        """
        known = np.zeros(len(next(iter(columns.values()))), dtype=bool)
        if self._known is None or not len(self._rows):
            return known
        at = pc.fill_null(pc.index_in(self._names, value_set=self._known["path"]), -1).to_numpy(zero_copy_only=False)
        there = np.stack([self._known[name].to_numpy() for name in STATE], axis=1)
        same = (at >= 0) & (there[at] == self._states).all(1)
        if decoded:
            same &= self._known["decoded"].to_numpy()[at] == 1
        for name in VALUES:
            columns[name][self._rows[same]] = self._known[name].to_numpy()[at[same]]
        known[self._rows[same]] = True
        return known

    def save(self, columns: Columns, whole: NDArray[np.bool_]) -> None:
        """Writes what is known now of the images that are whole; other files of the folder stay known."""
        if self._root is None:
            return
        kept = whole[self._rows] & (self._states[:, 1] < self._began - SETTLED)
        rows = self._rows[kept]
        table = pa.table(
            {"path": self._names.filter(pa.array(kept))}
            | {name: self._states[kept, column] for column, name in enumerate(STATE)}
            | {name: columns[name][rows] for name in VALUES}
        )
        if self._known is not None:
            others = pc.invert(pc.is_in(self._known["path"], value_set=self._names))
            table = pa.concat_tables([table, self._known.filter(others)])
        _write(table, self._place)


def place_of(source: Any) -> Place | None:
    """Where the bytes of an encoded image are kept; None for bytes in memory, and for an empty cell."""
    if isinstance(source, Path):
        return str(source)
    return source if isinstance(source, str | ArchiveMember) else None


def file_of(place: Place) -> str:
    """The file itself, or the archive that it is in."""
    return place if isinstance(place, str) else place.path


def _absolute(place: Place) -> Place:
    if os.path.isabs(file_of(place)):
        return place
    whole = os.path.abspath(file_of(place))
    return whole if isinstance(place, str) else place._replace(path=whole)


def file_state(file: str) -> tuple[int, int]:
    """Size and time of the last change in nanoseconds; of a file that is not there (−1, 0)."""
    try:
        found = os.stat(file)
    except OSError:
        return NO_FILE
    return found.st_size, found.st_mtime_ns


def _read(place: Path) -> pa.Table | None:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # takes a while

    try:
        table = pq.read_table(place, partitioning=None, page_checksum_verification=True).combine_chunks()
    except (OSError, pa.ArrowException):
        return None
    return table if table.column_names == ["path", *STATE, *VALUES] and len(table) else None


def _write(table: pa.Table, place: Path) -> None:
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd", write_page_checksum=True)
    with contextlib.suppress(OSError):  # a cache folder that cannot be written
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, content.getvalue().to_pybytes())
