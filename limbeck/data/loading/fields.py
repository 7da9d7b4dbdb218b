"""`load_fields`: loads items of several named fields, each from a column of its name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from limbeck.data.fields import field_items
from limbeck.data.items import Items
from limbeck.data.loading.columns import column_kind
from limbeck.data.loading.files import RawTable, open_table
from limbeck.data.loading.load import load_columns
from limbeck.utils.registry import nearest_names

Kind = Literal["image", "audio", "array"]


def load_fields(
    name_or_path: str | Path,
    fields: Mapping[str, Kind],
    reads: Mapping[str, str],
    *,
    split: str | None = None,
    missing: Literal["refuse", "skip"] = "refuse",
    **options: Any,
) -> Items:
    """Load items of several fields, of which each actor reads one.

    Args:
        fields: column to what it holds.
        reads: actor to the field that it reads: `{"student": "wave", "teacher": "image"}`.
        missing: an item without one of its fields is an error, or is left out and counted in a warning.
        options: of `load_items`, for the fields that they concern.

    Raises:
        ValueError: an unknown column, or one that holds something else; an item without one of its fields, with its row.
    """
    table = open_table(name_or_path, split)
    names = table.columns.column_names
    for field, kind in fields.items():
        if field not in names:
            raise ValueError(
                f"fields: {table.origin} has no column {field!r}; nearest: {', '.join(nearest_names(field, names))}"
            )
        if (found := column_kind(table, field)) != kind:
            raise ValueError(f"fields: {table.origin}: column {field!r} is {kind}, and holds {found}")
    table = _without_missing(table, list(fields), missing)
    parts = {field: load_columns(table, field, **_options_for(kind, options)) for field, kind in fields.items()}
    return field_items(parts, reads)


def _options_for(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if kind == "audio" or name != "audio"}


def _without_missing(table: RawTable, fields: list[str], missing: str) -> RawTable:
    """The rows that have all fields."""
    absent = {field: _is_missing(table.columns[field]) for field in fields}
    counts = {field: int(rows.sum()) for field, rows in absent.items() if rows.any()}
    if not counts:
        return table
    field = next(iter(counts))
    row = int(absent[field].argmax())
    if missing == "refuse":
        raise ValueError(
            f"{table.origin}: row {row} has no {field!r}; leave such items out with missing: skip ("
            + ", ".join(f"{count:,} without {name!r}" for name, count in counts.items())
            + f" of {table.columns.num_rows:,})"
        )
    whole = ~np.logical_or.reduce(list(absent.values()))
    listed = ", ".join(f"{count:,} without {name!r}" for name, count in counts.items())
    warnings.warn(f"{table.origin}: {int((~whole).sum()):,} of {len(whole):,} items are left out: {listed}", stacklevel=4)
    if not whole.any():
        raise ValueError(f"{table.origin}: no item has all of its fields {', '.join(fields)}")
    return replace(table, columns=table.columns.filter(pa.array(whole)))


def _is_missing(cells: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Empty cells, and files with neither bytes nor a path."""
    empty: NDArray[np.bool_] = np.asarray(cells.is_null().to_numpy(), dtype=bool)
    if not pa.types.is_struct(cells.type):
        return empty
    parts = [name for name in ("bytes", "path") if cells.type.get_field_index(name) >= 0]
    none = [np.asarray(pc.struct_field(cells, name).is_null().to_numpy(), dtype=bool) for name in parts]
    unread: NDArray[np.bool_] = np.logical_or(empty, np.logical_and.reduce(none))
    return unread
