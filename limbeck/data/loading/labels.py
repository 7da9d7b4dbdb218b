"""Readers of label columns: what the cells of one or several columns say about an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor

from limbeck.data.loading.cells import read_labels, read_numbers
from limbeck.data.loading.files import RawTable

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


def only_column(table: RawTable, columns: Sequence[str]) -> str:
    """The one label column.

    Raises:
        ValueError: there are several.
    """
    if len(columns) != 1:
        raise ValueError(f"label={list(columns)}: {table.origin}: these labels are in one column; name one")
    return columns[0]
