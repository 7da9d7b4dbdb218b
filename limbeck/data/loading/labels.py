"""Readers of label columns: what the cells of one or several columns say about an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from torch import Tensor

from limbeck.data.loading.cells import read_labels, read_numbers
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.targets import check_targets

Labels: TypeAlias = tuple[Tensor, list[str] | None]
LabelReader: TypeAlias = Callable[[RawTable, Sequence[str], int | None], Labels]
"""Takes a table, the names of its label columns and the number of classes if it is known; returns the target of all rows and
the names of the classes if they are known."""


def class_labels(table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
    """One class for each row, from one column of indices or names; see `read_labels`."""
    return read_labels(table, only_column(table, columns), classes)


def number_labels(table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
    """One number for each row; NaN for an empty cell."""
    if classes is not None:
        raise ValueError(f"classes={classes}: with `regression` labels are numbers, not classes; leave `classes` out")
    return read_numbers(table, only_column(table, columns)), None


def first_labels(
    table: RawTable, columns: Sequence[str], classes: int | None, reader: LabelReader
) -> tuple[Tensor, int | None, list[str] | None]:
    """The target of a table that may hold the first rows only, the number of classes and their names if they are known.

    Classes are those of all rows: numbers and names of the first rows alone would be others.
    """
    if table.read_all is None or reader is number_labels or _are_named(table, columns):
        target, names = reader(table, columns, classes)
        return target, classes, names
    target, names = reader(replace(table, columns=table.read_all(columns), read_all=None), columns, classes)
    return target[: table.columns.num_rows], check_targets(target, classes) if names is None else classes, names


def _are_named(table: RawTable, columns: Sequence[str]) -> bool:
    """Whether the names of all classes are known without reading any label."""
    features = [table.features.get(column) for column in columns]
    declared = [isinstance(each, dict) and each.get("_type") == "ClassLabel" and bool(each.get("names")) for each in features]
    return table.class_names is not None or all(declared)


def only_column(table: RawTable, columns: Sequence[str]) -> str:
    """The one label column.

    Raises:
        ValueError: there are several.
    """
    if len(columns) != 1:
        raise ValueError(f"label={list(columns)}: {table.origin}: these labels are in one column; name one")
    return columns[0]
