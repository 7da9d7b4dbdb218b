"""Reads the cells of a column: images, texts, arrays, class indices or numbers."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.core.labels import UNLABELLED
from limbeck.data.archive_member import ArchiveMember
from limbeck.data.loading.arrow_types import is_list, is_number, is_text
from limbeck.data.loading.raw_table import RawTable
from limbeck.utils.registry import nearest_names

FLOAT32_MAX = float(np.finfo(np.float32).max)


class MediaSources(Sequence[Any]):
    """What the image or sound of each row is decoded from: bytes, the path of a file, or its place in an archive; read when it
    is asked for."""

    def __init__(self, table: RawTable, column: str) -> None:
        cells = table.columns[column]  # chunked: an array of more than 2 GiB of bytes would overflow its offsets
        self._cells = without_blanks(cells.combine_chunks()) if is_text(cells.type) else cells
        self._folder = str(table.folder) if table.folder is not None else None

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, row: Any) -> Any:
        cell = self._cells[row].as_py()
        if isinstance(cell, dict) and "offset" in cell:
            return ArchiveMember(**cell)
        if isinstance(cell, dict):
            content = cell.get("bytes")
            cell = content if content is not None else cell.get("path")
        return cell if not isinstance(cell, str) or self._folder is None else os.path.join(self._folder, cell)


def describe_source(origin: str, sources: Sequence[object], row: int) -> str:
    """The name of a row's image or sound for messages: its path, or where it is in the table."""
    source = sources[row]
    return str(source) if isinstance(source, str | ArchiveMember) else f"{origin} row {row}"


def read_texts(table: RawTable, column: str, *, blank: bool = False) -> list[str]:
    """Texts.

    Args:
        blank: whether a text may be empty or white space; else it is an empty cell.

    Raises:
        ValueError: an empty cell.
    """
    cells = _plain(table.columns[column])
    cells = cells if blank else without_blanks(cells)
    _refuse_empty_cells(cells, f"{table.origin}: column {column!r}", len(cells))
    texts: list[str] = cells.to_pylist()
    return texts


def read_array(table: RawTable, column: str) -> Tensor:
    """Numbers, or nested lists of equal lengths, as one tensor `[N, …]`: uint8 stays, other numbers become float32."""
    cells = table.columns[column]
    found: NDArray[Any] | None = None
    row = 0
    for chunk in cells.chunks:  # one copy of the data in all, and that of one chunk
        if not len(chunk):
            continue
        values = _read_chunk(chunk, row, len(cells), f"{table.origin}: column {column!r}")
        if found is None:
            found = np.empty((len(cells), *values.shape[1:]), np.uint8 if values.dtype == np.uint8 else np.float32)
        if values.shape[1:] != found.shape[1:]:
            lengths = sorted({values.shape[1], found.shape[1]})
            raise ValueError(f"{table.origin}: column {column!r} holds lists of different lengths {lengths}")
        found[row : row + len(chunk)] = values
        row += len(chunk)
    assert found is not None, "a table has rows"
    return torch.from_numpy(found)


def _read_chunk(cells: pa.Array, first: int, total: int, where: str) -> NDArray[Any]:
    """The numbers of some rows, of which `first` is the first, of `total`, `[rows, …]`."""
    shape = [len(cells)]
    while True:
        if isinstance(cells.type, pa.ExtensionType):
            cells = cells.storage
        _refuse_empty_cells(cells, where, total, first=first, rows=shape[0])
        if not is_list(cells.type):
            break
        lengths = pc.list_value_length(cells).unique().to_pylist()
        if len(lengths) != 1:
            raise ValueError(f"{where} holds lists of different lengths {sorted(lengths)[:4]}")
        shape.append(lengths[0])
        cells = cells.flatten()
    values: NDArray[Any] = cells.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        position = int((~np.isfinite(values)).argmax())
        row = first + position // (len(values) // shape[0])
        raise ValueError(f"{where}: row {row} holds {values[position]}; expected finite numbers")
    refuse_too_large(values, where, first=first, of_row=len(values) // shape[0])
    return values.reshape(shape if len(shape) > 1 else (-1, 1))


def read_labels(table: RawTable, column: str, classes: int | None) -> tuple[Tensor, list[str] | None]:
    """Class indices (-100: an empty cell, or -1 in a ClassLabel column), and the names of the classes if they are known.

    Names become indices by the ClassLabel feature, by `classes.json`, or else in sorted order.

    Raises:
        ValueError: cells that are not class indices or known names; `classes` that contradicts the names.
    """
    cells = without_blanks(_plain(table.columns[column]))
    feature = table.features.get(column)
    of_feature = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    names = of_feature or table.class_names
    where = f"{table.origin}: column {column!r}"
    if is_text(cells.type):
        target, names = _from_names(cells, names, where)
    else:
        target = _from_numbers(cells, where)
        if of_feature is not None:
            target[target == -1] = UNLABELLED
    if names is not None and classes is not None and len(names) != classes:
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise ValueError(f"classes={classes}, but {where} has {len(names)} classes: {shown}")
    _check_range(target, len(names) if names is not None else classes, where)
    return target, names


def read_numbers(table: RawTable, column: str) -> Tensor:
    """Numbers to predict, float32 `[N]`; NaN for an empty cell."""
    cells = _plain(table.columns[column])
    where = f"{table.origin}: column {column!r}"
    if (wrong := first_no_number(cells)) is not None:
        raise ValueError(
            f"{where}: row {wrong} holds {cells[wrong].as_py()!r}, which is no number; correct it, or leave the cell empty for "
            "no label"
        )
    if not is_number(cells.type):
        raise ValueError(f"{where} holds {cells.type}; regression predicts numbers. Set `label` to another column")
    numbers = pc.fill_null(cells.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(f"{where}: row {row} holds {numbers[row]}; expected a finite number, or an empty cell for no label")
    refuse_too_large(numbers, where)
    return torch.from_numpy(numbers.astype(np.float32))


def refuse_too_large(values: NDArray[Any], where: str, *, first: int = 0, of_row: int = 1) -> None:
    """Raises a `ValueError` for finite numbers that are infinite in float32, in which models read them.

    Args:
        first: the row of the first number.
        of_row: numbers in a row.
    """
    if values.dtype != np.float64:
        return
    wrong = (np.abs(values) > FLOAT32_MAX) & ~np.isinf(values)
    if wrong.any():
        position = int(wrong.argmax())
        raise ValueError(
            f"{where}: row {first + position // of_row} holds {values[position]:g}, which is infinite in float32, in which "
            "models read numbers; leave it out if it stands for a missing value, or scale the column"
        )


def first_no_number(cells: pa.Array) -> int | None:
    """The first row of texts that is no number, if most are; None: cells of another kind, or texts in general."""
    if not is_text(cells.type):
        return None
    texts = without_blanks(cells).to_pylist()
    wrong = [row for row, text in enumerate(texts) if text is not None and not _is_number(text)]
    return wrong[0] if wrong and 2 * len(wrong) < len(texts) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_names(cells: pa.Array, names: list[str] | None, where: str) -> tuple[Tensor, list[str]]:
    values = [value and unicodedata.normalize("NFC", value) for value in cells.to_pylist()]
    if names is None:
        names = sorted({value for value in values if value is not None})
    index = {name: number for number, name in enumerate(names)}
    for row, value in enumerate(values):
        if value is not None and value not in index:
            offer = ", ".join(nearest_names(value, names))
            raise ValueError(f"{where}: row {row} holds {value!r}, which is not a known class; nearest: {offer}")
    return torch.tensor([UNLABELLED if value is None else index[value] for value in values]), names


def _from_numbers(cells: pa.Array, where: str) -> Tensor:
    if not (is_number(cells.type) or pa.types.is_boolean(cells.type)):
        raise ValueError(f"{where} holds {cells.type}; expected class indices or names. Set `label` to another column")
    numbers = pc.fill_null(cells.cast(pa.float64()), float(UNLABELLED)).to_numpy(zero_copy_only=False)
    numbers = np.where(np.isnan(numbers), UNLABELLED, numbers)
    if (np.abs(numbers) >= 2**63).any():
        row = int((np.abs(numbers) >= 2**63).argmax())
        raise ValueError(f"{where}: row {row} holds {numbers[row]:.0f}; expected class indices below 2⁶³, or names")
    fractional = numbers != np.floor(numbers)
    if fractional.any():
        row = int(fractional.argmax())
        raise ValueError(
            f"{where}: row {row} holds {numbers[row]}; expected class indices (whole numbers) or names. "
            "To predict numbers, the recipe has `task: regression`, Python `regression=True`"
        )
    return torch.from_numpy(numbers.astype(np.int64))


def _check_range(target: Tensor, classes: int | None, where: str) -> None:
    wrong = (target < 0) & (target != UNLABELLED)
    if classes is not None:
        wrong |= target >= classes
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        expected = "0 or more" if classes is None else f"0 to {classes - 1} ({classes} classes)"
        raise ValueError(f"{where}: row {row} holds {int(target[row])}; expected {expected}, or an empty cell for no label")


def _refuse_empty_cells(cells: pa.Array, where: str, total: int, *, first: int = 0, rows: int | None = None) -> None:
    """Raises a ValueError for empty cells.

    Args:
        total: rows of the table.
        first, rows: which of them these cells are; each row may have several cells.
    """
    if cells.null_count:
        position = cells.is_null().index(True).as_py()
        row = first + position * (rows or len(cells)) // len(cells)
        raise ValueError(f"{where} has empty cells, the first in row {row} of {total}; leave such rows out")


def without_blanks(cells: pa.Array) -> pa.Array:
    """The cells with null in place of texts that are empty or white space: CSV has no other way to leave a cell out."""
    if not is_text(cells.type):
        return cells
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(cells)), 0)
    return pc.if_else(pc.fill_null(blank, False), pa.scalar(None, cells.type), cells)


def _plain(cells: pa.ChunkedArray) -> pa.Array:
    """One array, without dictionary encoding."""
    array = cells.combine_chunks()
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array
