"""Finds the numeric and categorical columns of a table, and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from torch import Tensor

from limbeck.data.loading.arrow_types import is_number, is_scalar, is_text
from limbeck.data.loading.cells import first_no_number, refuse_too_large
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.table.storage import Categories, TableStorage
from limbeck.utils.registry import nearest_names

ROW_NUMBERS = ("id", "index", "key", "row", "row_id", "uuid", "__index_level_0__")
"""Names of columns that number the rows. They are no features, so a table with one needs its columns named."""


@dataclass(frozen=True)
class TableColumns:
    """The columns that are inputs, in the order in which they are encoded."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


@dataclass(frozen=True)
class TableOptions:
    """Which columns of a table are inputs, and how they are read.

    Attributes:
        numeric, categorical: columns by name. A column of numbers that is named categorical is a code. If either is given,
            only named columns are read; by default all columns but the label are, by type.
        exclude: columns that are not read.
        max_categories: the most values of a column that is categorical by its type; more are no categories but names or texts.
        nan: "refuse" a cell that holds NaN, with its row; "missing" treats it like an empty cell.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_categories: int = 64
    nan: Literal["refuse", "missing"] = "refuse"

    @property
    def named(self) -> bool:
        """Whether the columns are given by name."""
        return bool(self.numeric or self.categorical)


def find_columns(table: RawTable, labels: Sequence[str], options: TableOptions) -> TableColumns:
    """The input columns: those that are named, or else all but the labels by type (numbers and booleans are numeric, texts
    categorical).

    Raises:
        ValueError: an unknown name; a column named twice, or of a type that is neither; a column that numbers the rows; texts
            with more than `max_categories` values.
    """
    for option, names in (("numeric", options.numeric), ("categorical", options.categorical), ("exclude", options.exclude)):
        for name in names:
            _require(table, name, f"table.{option}")
    twice = set(options.numeric) & set(options.categorical) | set(labels) & {*options.numeric, *options.categorical}
    if twice:
        raise ValueError(f"table: column {min(map(str, twice))!r} is named twice; it is numeric, categorical or the label")
    columns = TableColumns(options.numeric, options.categorical) if options.named else _by_type(table, labels, options)
    if not columns.numeric and not columns.categorical:
        raise ValueError(f"table: {table.origin} has no columns besides the label and those in `exclude`")
    return columns


def may_be_table(table: RawTable, inputs: Sequence[str]) -> bool:
    """Whether several columns, none of which is the input by type or name, are the features of a table: all of them are
    numbers, booleans or texts, and one at least is not text."""
    kinds = [table.columns.schema.field(name).type for name in inputs]
    return len(kinds) > 1 and all(map(is_scalar, kinds)) and not all(map(is_text, kinds))


def read_table(table: RawTable, columns: TableColumns, options: TableOptions) -> TableStorage:
    """The rows of these columns.

    Raises:
        ValueError: a column that is missing or of another type; a number that is infinite or NaN, with its row.
    """
    for name in (*columns.numeric, *columns.categorical):
        _require(table, name, "table")
    return TableStorage(
        {name: _read_numbers(table, name, options.nan) for name in columns.numeric},
        {name: _read_categories(table, name) for name in columns.categorical},
    )


def _by_type(table: RawTable, labels: Sequence[str], options: TableOptions) -> TableColumns:
    numeric, categorical = [], []
    for name in table.columns.column_names:
        if name in labels or name in options.exclude:
            continue
        kind = table.columns.schema.field(name).type
        problem = None
        if name.lower() in ROW_NUMBERS:
            problem = "seems to number the rows"
        elif not is_scalar(kind):
            problem = f"holds {kind}, neither numbers nor categories"
        elif is_text(kind) or pa.types.is_dictionary(kind):  # categories of pandas, also those that are numbers
            categorical.append(name)
            if (found := len(table.columns[name].unique().drop_null())) > options.max_categories:
                problem = f"holds {found:,} different texts, more than max_categories={options.max_categories}"
        else:
            numeric.append(name)
        if problem is not None:
            raise ValueError(
                f"{table.origin}: column {name!r} {problem}. Leave it out (table: {{exclude: [{name}]}}), name the columns "
                "of the table (numeric: […], categorical: […]), or name one column as the `input`"
            )
    return TableColumns(tuple(numeric), tuple(categorical))


def _require(table: RawTable, name: str, option: str) -> None:
    names = table.columns.column_names
    if name not in names:
        raise ValueError(f"{option}: {table.origin} has no column {name!r}; nearest: {', '.join(nearest_names(name, names))}")


def _read_numbers(table: RawTable, name: str, nan: str) -> Tensor:
    cells = table.columns[name].combine_chunks()
    if not (is_number(cells.type) or pa.types.is_boolean(cells.type)):
        where = f"{table.origin}: column {name!r}"
        if (wrong := first_no_number(cells)) is not None:
            raise ValueError(
                f"{where}: row {wrong} holds {cells[wrong].as_py()!r}, which is no number; leave the cell empty if its value "
                "is missing, or name the column in table.categorical"
            )
        raise ValueError(f"{where} holds {cells.type}, and numbers are expected; name it in table.categorical")
    whole = pa.int8() if pa.types.is_boolean(cells.type) else cells.type
    try:
        numbers = cells.cast(whole).cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{table.origin}: column {name!r} holds whole numbers above 2⁵³, which seem to be identifiers; leave it out "
            f"(table: {{exclude: [{name}]}}), or name it in table.categorical"
        ) from error
    values = pc.fill_null(numbers, float("nan")).to_numpy(zero_copy_only=False)
    refuse_too_large(values, f"{table.origin}: column {name!r}")
    wrong = np.isinf(values) if nan == "missing" else ~np.isfinite(values) & ~cells.is_null().to_numpy(zero_copy_only=False)
    if wrong.any():
        row = int(wrong.argmax())
        where = f"{table.origin}: column {name!r}: row {row} holds {values[row]}"
        remedy = "" if np.isinf(values[row]) else ", or set table: {nan: missing} if NaN means that"
        raise ValueError(f"{where}; leave the cell empty if its value is missing{remedy}")
    return torch.from_numpy(values.copy())


def _read_categories(table: RawTable, name: str) -> Categories:
    cells = table.columns[name].combine_chunks()
    if not is_scalar(cells.type):
        raise ValueError(f"{table.origin}: column {name!r} holds {cells.type}, which are no categories; leave it out")
    encoded = cells.dictionary_encode()  # so that all rows of a category share one text
    names = [None if value is None or value != value else _as_category(value) for value in encoded.dictionary.to_pylist()]
    positions = pc.fill_null(encoded.indices.cast(pa.int64()), len(names)).to_numpy(zero_copy_only=False)
    found: Categories = np.array([*names, None], dtype=object)[positions]
    return found


def _as_category(value: object) -> str:
    """A value as text: 3 and 3.0 are one category, whatever type a file gives its numbers."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
