"""Rows of every tap: the content of one shard or journal file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import CorruptFileError
from limbeck.teacher_cache.store.mapped_file import MappedFile


@dataclass(frozen=True)
class RowGroup:
    """Rows of every tap, by tap; `file` is the mapped file that holds them, or None if they are only in memory."""

    tables: Mapping[str, RowTable]
    file: MappedFile | None = None


def tensors_of(tables: Mapping[str, RowTable]) -> dict[str, Tensor]:
    """Returns the tensors of a row group by `TAP//NAME`."""
    return {name: tensor for tap, table in tables.items() for name, tensor in table.tensors(f"{tap}//").items()}


def read_row_group(file: MappedFile, codecs: Mapping[str, Codec], rows: int, metadata: Mapping[str, str]) -> RowGroup:
    """Returns the rows of a file.

    Args:
        file: the mapped file.
        codecs: the codec of each tap.
        rows: how many rows it must have.
        metadata: entries that its metadata must have.

    Raises:
        CorruptFileError: the file does not fit.
    """
    if any(file.metadata.get(name) != value for name, value in metadata.items()):
        raise CorruptFileError(file.path, "it was written for another store or another place in it")
    by_tap: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.tensors.items():
        tap, divided, part = name.rpartition("//")
        if divided:
            by_tap.setdefault(tap, {})[part] = tensor
    if {tap: frozenset(parts) for tap, parts in by_tap.items()} != {tap: codec.tensors for tap, codec in codecs.items()}:
        raise CorruptFileError(
            file.path, f"it holds {', '.join(sorted(file.tensors))}, which are not the signals of this store"
        )
    tables = {tap: RowTable.from_tensors(parts) for tap, parts in by_tap.items()}
    if any(not table.is_consistent() or len(table) != rows for table in tables.values()):
        raise CorruptFileError(file.path, f"it does not hold {rows:,} rows of each signal")
    file.drop()  # the check has read all offsets
    return RowGroup(tables, file)
