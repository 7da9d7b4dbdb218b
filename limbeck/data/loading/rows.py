"""Keeps some rows of a table, by the values of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from limbeck.data.loading.files import RawTable
from limbeck.utils.registry import nearest_names

Value: TypeAlias = str | int | float | bool
Where: TypeAlias = Mapping[str, Value | Sequence[Value]]
SHOWN = 5  # values of a column in a message


def rows_where(table: RawTable, where: Where) -> RawTable:
    """Returns the rows whose columns have a value, or one of several: `{"style": "twitter", "year": [2023, 2024]}`.

    Raises:
        ValueError: an unknown column; a value of another type than its column; no row that is left.
    """
    columns = table.columns
    for name, given in where.items():
        if name not in columns.column_names:
            nearest = ", ".join(nearest_names(name, columns.column_names))
            raise ValueError(f"where: {table.origin} has no column {name!r}; nearest: {nearest}")
        values = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        column = columns[name]
        try:
            kept = pc.is_in(column, value_set=pa.array(values, column.type))
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(f"where: {table.origin}: column {name!r} is {column.type}, and {given!r} is not") from error
        left = columns.filter(kept)
        if not left.num_rows:
            found = column.unique().to_pylist()
            shown = ", ".join(map(repr, found[:SHOWN])) + (f", … {len(found)} in all" if len(found) > SHOWN else "")
            raise ValueError(f"where: {table.origin} has no row left with {name} = {given!r}; it has {shown}")
        columns = left
    chosen = ", ".join(f"{name} = {value}" for name, value in where.items())
    return replace(table, columns=columns, origin=f"{table.origin} ({chosen})") if where else table
