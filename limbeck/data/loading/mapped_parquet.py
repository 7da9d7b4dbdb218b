"""Large Parquet files of images or sounds, mapped into memory instead of read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from limbeck.utils.cache_folder import cache_folder
from limbeck.utils.progress_bar import show_progress

LARGE = 1 << 30  # bytes of a file that is not read into memory
ABANDONED = 3600  # seconds after which a copy that nobody goes on writing is one of a process that was killed
ROWS = 1024  # rows that are copied at once


def read_or_map(path: Path) -> pa.Table:
    """The table of a Parquet file.

    Of a large one with bytes in it, an uncompressed copy is made in the user's cache folder, once for each state of the file,
    and mapped into memory: rows are read from the disk when they are needed. Where there is no room for a copy, the file is
    read.
    """
    if path.stat().st_size < LARGE or not any(map(_holds_bytes, pq.read_schema(path))):
        return pq.read_table(path, partitioning=None)
    place = _place(path)
    mapped = _open(place)
    if mapped is None:
        try:
            _copy(path, place)
        except OSError:
            return pq.read_table(path, partitioning=None)
        mapped = _open(place)
    return pq.read_table(path, partitioning=None) if mapped is None else mapped


def _open(place: Path) -> pa.Table | None:
    """The copy; None if there is none, or one that is damaged."""
    try:
        return pa.ipc.open_file(pa.memory_map(str(place))).read_all()
    except (OSError, pa.ArrowInvalid):
        return None


def _holds_bytes(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        return any(_holds_bytes(kind.field(part)) for part in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _place(path: Path) -> Path:
    """Of the copy of a file in its present state."""
    found = path.stat()
    names = [
        hashlib.blake2b(part.encode(), digest_size=8).hexdigest()
        for part in (str(path.resolve()), f"{found.st_size} {found.st_mtime_ns}")
    ]
    return cache_folder("tables") / f"{names[0]}-{names[1]}.arrow"


def _copy(path: Path, place: Path) -> None:
    """Writes the copy, and removes those of earlier states of the file, and what killed processes have left of theirs."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob("*.draft"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
    draft = place.with_suffix(f".{os.getpid()}.draft")
    try:
        with (
            pq.ParquetFile(path) as source,
            pa.OSFile(str(draft), "wb") as file,
            pa.ipc.new_file(file, source.schema_arrow) as writer,
        ):
            batches, count = source.iter_batches(batch_size=ROWS), source.metadata.num_rows
            for batch in show_progress(batches, f"mapping {path.name}", -(-count // ROWS)):
                writer.write_batch(batch)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    for earlier in place.parent.glob(f"{place.name.partition('-')[0]}-*.arrow"):
        if earlier != place:
            with contextlib.suppress(OSError):
                earlier.unlink()
