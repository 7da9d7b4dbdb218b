"""Keeps some rows of a table, by the values of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from limbeck.data.loading.files import open_source
from limbeck.data.loading.raw_table import RawTable, TableSource
from limbeck.data.loading.tar_shards import OnError
from limbeck.utils.argument_types import require_whole
from limbeck.utils.registry import nearest_names

Value: TypeAlias = str | int | float | bool
Where: TypeAlias = Mapping[str, Value | Sequence[Value]]
SHOWN = 5  # values of a column in a message


def open_rows(
    name: Any,
    split: str | None,
    *,
    where: Where | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
) -> RawTable:
    """Open a data set and read its rows.

    Args:
        name, split, on_error: see `open_source`.
        where: see `rows_where`.
        limit: read only the first rows, this many, and no further than that takes.

    Raises:
        ValueError: there are no rows, or none are left; a limit below 1; also what `open_source` and `rows_where` raise.
    """
    require_whole("limit", limit, 1)
    return rows_of(open_source(name, split, stream=limit is not None, on_error=on_error), where=where, limit=limit)


def rows_of(source: TableSource, *, where: Where | None = None, limit: int | None = None) -> RawTable:
    """Read the rows of a data set; see `open_rows`."""
    where = where or {}
    if limit is None:
        return rows_where(_not_empty(source.table(source.all())), where)

    def keep(rows: pa.Table) -> pa.Table:
        return _matching(rows, where, source.origin)

    def read_all(names: Sequence[str] | None) -> pa.Table:
        assert source.read is not None
        wanted = None if names is None else list(dict.fromkeys((*names, *where)))
        kept = keep(source.read(wanted))
        return kept if names is None else kept.select(list(names))

    table = source.table(source.first(limit, keep if where else None), None if source.read is None else read_all)
    if where and not table.columns.num_rows and source.read is not None:
        return rows_where(_not_empty(source.table(source.read(None))), where)  # refuses it, with the values that there are
    return replace(_not_empty(table), origin=_named(table.origin, where))


def all_rows(table: RawTable) -> RawTable:
    """The table with all its rows, if it has the first ones only and the others can be read."""
    return table if table.read_all is None else replace(table, columns=table.read_all(None), read_all=None)


def _not_empty(table: RawTable) -> RawTable:
    if not table.columns.num_rows:
        raise ValueError(f"{table.origin}: the data set is empty")
    return table


def rows_where(table: RawTable, where: Where) -> RawTable:
    """Returns the rows whose columns have a value, or one of several: `{"style": "twitter", "year": [2023, 2024]}`.

    Raises:
        ValueError: an unknown column; a value of another type than its column; no row that is left.
    """
    columns = table.columns
    for name, given in where.items():
        left = _matching(columns, {name: given}, table.origin)
        if not left.num_rows:
            found = columns[name].unique().to_pylist()
            shown = ", ".join(map(repr, found[:SHOWN])) + (f", … {len(found)} in all" if len(found) > SHOWN else "")
            raise ValueError(f"where: {table.origin} has no row left with {name} = {given!r}; it has {shown}")
        columns = left
    return replace(table, columns=columns, origin=_named(table.origin, where)) if where else table


def _matching(columns: pa.Table, where: Where, origin: str) -> pa.Table:
    """The rows whose columns have these values; perhaps none."""
    for name, given in where.items():
        if name not in columns.column_names:
            nearest = ", ".join(nearest_names(name, columns.column_names))
            raise ValueError(f"where: {origin} has no column {name!r}; nearest: {nearest}")
        values = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        column = columns[name]
        try:
            kept = pc.is_in(column, value_set=pa.array(values, column.type))
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(f"where: {origin}: column {name!r} is {column.type}, and {given!r} is not") from error
        columns = columns.filter(kept)
    return columns


def _named(origin: str, where: Where) -> str:
    chosen = ", ".join(f"{name} = {value}" for name, value in where.items())
    return f"{origin} ({chosen})" if chosen else origin
