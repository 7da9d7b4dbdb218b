"""Reads several labels of each item, any number of which may apply."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.labels import UNLABELLED
from limbeck.data.loading.arrow_types import is_list, is_text
from limbeck.data.loading.labels import Labels
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.targets import MANY_CLASSES, SPARSE
from limbeck.utils.registry import nearest_names

SEPARATOR = ";"
OTHER_SEPARATORS = (",", "|", "/", "+", "&", " ")


def multi_hot_labels(table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
    """Which labels apply to each row, int64 `[N, C]`: 1 applies, 0 does not, -100 unknown; and the names of the classes.

    The labels are in one of these forms:

    - several columns, one for each class, of 0 and 1 or false and true; an empty cell is unknown;
    - one column of texts, names joined by `;`, such as `joy;surprise`; an empty text has no label;
    - one column of lists of names or of class indices, or of lists of 0 and 1 with one entry for each class.

    An empty cell of a single column makes all labels of the row unknown. Names are those of the ClassLabel feature, of
    `classes.json`, or else all names of the column in sorted order.

    Raises:
        ValueError: a cell of another kind, with its row; an unknown name; a number of classes that contradicts `classes`.
    """
    if len(columns) > 1:
        found = torch.stack([_flags(table, column) for column in columns], 1), list(columns)
    else:
        found = _from_one_column(table, columns[0], classes)
    if classes is not None and classes != len(found[1]):
        raise ValueError(f"classes={classes}, but {table.origin} has {len(found[1])}: {', '.join(found[1][:8])}")
    return found


def _flags(table: RawTable, column: str) -> Tensor:
    cells = table.columns[column].to_pylist()
    for row, cell in enumerate(cells):
        if cell is not None and cell not in (0, 1):
            raise ValueError(
                f"{table.origin}: column {column!r}: row {row} holds {cell!r}; expected 0, 1, or an empty cell for an unknown "
                "label. Several `label` columns are one for each class"
            )
    return torch.tensor([UNLABELLED if cell is None else int(cell) for cell in cells])


def _from_one_column(table: RawTable, column: str, classes: int | None) -> tuple[Tensor, list[str]]:
    kind, where = table.columns.schema.field(column).type, f"{table.origin}: column {column!r}"
    if not is_text(kind) and not is_list(kind):
        raise ValueError(
            f"{where} holds {kind}; several labels of an item are a list, names joined by {SEPARATOR!r}, or several columns of "
            "0 and 1 (label: [first, second, …])"
        )
    cells: list[Any] = table.columns[column].to_pylist()
    if is_text(kind):
        cells = [cell if cell is None else [name.strip() for name in cell.split(SEPARATOR) if name.strip()] for cell in cells]
    known = names_of_list(table.features.get(column)) or table.class_names
    values = [value for cell in cells if cell is not None for value in cell]
    if all(isinstance(value, str) for value in values):
        names = known or sorted(set(values))
        if is_text(kind) and known is None:
            _warn_of_separator(names, where)
        return _hot(cells, {name: at for at, name in enumerate(names)}, len(names), where), names
    if not all(isinstance(value, int) or (isinstance(value, float) and value.is_integer()) for value in values):
        raise ValueError(f"{where}: lists hold neither names nor whole numbers alone")
    lengths = {len(cell) for cell in cells if cell is not None}
    if len(lengths) == 1 and max(lengths) > 1 and set(values) <= {0, 1}:
        width = lengths.pop()
        rows = [[UNLABELLED] * width if cell is None else cell for cell in cells]
        return torch.tensor(rows, dtype=torch.int64), known or [str(at) for at in range(width)]
    count = len(known) if known else classes or int(max(values, default=0)) + 1
    different = len(set(values))
    if count > MANY_CLASSES and count > SPARSE * different:
        raise ValueError(
            f"{where}: lists hold numbers up to {count - 1:,}, and {different:,} different ones: these are ids, not class "
            f"indices from 0 to {different - 1:,}. Write them as names (texts), which are numbered by themselves"
        )
    return _hot(cells, {at: at for at in range(count)}, count, where), known or [str(at) for at in range(count)]


def _warn_of_separator(names: Sequence[str], where: str) -> None:
    """Warns of names that seem to be several ones, joined by something else."""
    known = set(names)
    for other in OTHER_SEPARATORS:
        for name in names:
            parts = [part.strip() for part in name.split(other)]
            if len(parts) > 1 and known.issuperset(parts):
                warnings.warn(
                    f"{where}: {name!r} is read as one label, and {', '.join(map(repr, parts))} are labels too; several labels "
                    f"of an item are joined by {SEPARATOR!r}, not by {other!r}",
                    stacklevel=2,
                )
                return


def _hot(cells: list[Any], index: dict[Any, int], classes: int, where: str) -> Tensor:
    """Lists of names or indices as rows of 0 and 1."""
    target = np.zeros((len(cells), classes), np.int64)
    for row, cell in enumerate(cells):
        if cell is None:
            target[row] = UNLABELLED
            continue
        for value in cell:
            if value not in index:
                offer = ", ".join(nearest_names(str(value), [str(name) for name in index]))
                raise ValueError(f"{where}: row {row} holds {value!r}, which is not a known class; nearest: {offer}")
            target[row, index[value]] = 1
    return torch.from_numpy(target)


def names_of_list(feature: Any) -> list[str] | None:
    """The names of a list of ClassLabel."""
    inner = feature.get("feature") if isinstance(feature, dict) else None
    return inner.get("names") if isinstance(inner, dict) else None
