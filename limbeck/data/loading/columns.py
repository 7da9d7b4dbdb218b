"""Which column is the input and which the label, and what their cells are: images, texts, arrays, class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from torch import Tensor

from limbeck.core.objective import UNLABELLED
from limbeck.data.loading.files import IMAGES, RawTable
from limbeck.utils.registry import nearest

ColumnKind = Literal["image", "text", "array"]

IMAGE_NAMES = ("image", "img", "image_path", "file_name", "path")
INPUT_NAMES = (*IMAGE_NAMES, "pixel_values", "text", "sentence", "content", "input", "inputs", "features", "x")
LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y", "fine_label")


def input_column(table: RawTable, wanted: str | None) -> str:
    """The column called `wanted`; else the one column of images; else the one whose name says that it is the input."""
    names: list[str] = table.columns.column_names
    if wanted is not None:
        return _named(table, "input", wanted)
    by_kind = [name for name in names if _holds_images(table, name)]
    by_name = [name for name in names if name.lower() in INPUT_NAMES]
    rest = [name for name in names if name.lower() not in LABEL_NAMES]
    for found in (by_kind, by_name, rest):
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{table.origin}: which column is the input? Set `input` to one of: {', '.join(found)}")
    raise ValueError(f"{table.origin}: no input among the columns {', '.join(names)}; name it with `input`")


def input_columns(table: RawTable, wanted: Sequence[str]) -> tuple[str, ...]:
    """The column of texts, or the two of them, that are called so."""
    if not 1 <= len(wanted) <= 2 or len(set(wanted)) < len(wanted):
        raise ValueError(f"input={list(wanted)}: expected one column, or two different ones for pairs of texts")
    for name in wanted:
        if len(wanted) == 2 and column_kind(table, _named(table, "input", name)) != "text":
            held = table.columns.schema.field(name).type
            raise ValueError(f"input={list(wanted)}: {table.origin}: column {name!r} holds {held}; pairs are of texts")
    return tuple(_named(table, "input", name) for name in wanted)


def label_column(table: RawTable, wanted: str | Literal[False] | None, inputs: Sequence[str]) -> str | None:
    """The column called `wanted`; else the one whose name says that it is the label; None where nothing could be one."""
    if wanted is False:
        return None
    if wanted is not None:
        return _named(table, "label", wanted)
    others: list[str] = [name for name in table.columns.column_names if name not in inputs]
    found = [name for name in others if name.lower() in LABEL_NAMES]
    if len(found) == 1:
        return found[0]
    if found or others:
        offer = ", ".join(found or others)
        raise ValueError(
            f"{table.origin}: which column is the label? Set `label` to one of: {offer}; or `label: false` for none"
        )
    return None


def column_kind(table: RawTable, column: str) -> ColumnKind:
    kind = table.columns.schema.field(column).type
    if _holds_images(table, column):
        return "image"
    if _is_text(kind):
        return "text"
    if _value_type(kind) is not None:
        return "array"
    raise ValueError(f"{table.origin}: column {column!r} holds {kind}; expected images, texts or arrays of numbers")


def read_images(table: RawTable, column: str) -> list[Any]:
    """What each row's image is decoded from: bytes, or the path of a file."""
    cells = table.columns[column]  # in its chunks: joined, more than 2 GiB of bytes would overflow
    if pa.types.is_struct(cells.type):
        paths = pc.struct_field(cells, "path").to_pylist() if cells.type.get_field_index("path") >= 0 else None
        contents = pc.struct_field(cells, "bytes").to_pylist()
        return [
            content if content is not None or not paths else _locate(table, paths[row]) for row, content in enumerate(contents)
        ]
    if _is_text(cells.type):
        return [_locate(table, path) for path in cells.to_pylist()]
    return list(cells.to_pylist())


def read_texts(table: RawTable, column: str) -> list[str]:
    """Texts may be empty, cells may not."""
    cells = _plain(table.columns[column])
    _refuse_empty(cells, table, column)
    texts: list[str] = cells.to_pylist()
    return texts


def read_array(table: RawTable, column: str) -> Tensor:
    """Lists of equal length, nested or not, as one tensor: uint8 stays, every other number becomes float32."""
    cells = table.columns[column].combine_chunks()
    shape = [len(cells)]
    while True:
        if isinstance(cells.type, pa.ExtensionType):
            cells = cells.storage
        _refuse_empty(cells, table, column)
        if not _is_list(cells.type):
            break
        lengths = pc.list_value_length(cells).unique().to_pylist()
        if len(lengths) != 1:
            raise ValueError(f"{table.origin}: column {column!r} holds lists of different lengths {sorted(lengths)[:4]}")
        shape.append(lengths[0])
        cells = cells.flatten()
    values = cells.to_numpy(zero_copy_only=False)
    values = values if values.dtype == np.uint8 else values.astype(np.float32)
    return torch.from_numpy(values.copy()).view(shape if len(shape) > 1 else [-1, 1])


def read_labels(table: RawTable, column: str, classes: int | None) -> tuple[Tensor, list[str] | None]:
    """Class indices (-100: empty cell, or -1 in a ClassLabel column) and the classes' names where they are known.

    Names are mapped to indices by the ClassLabel feature, by `classes.json`, or else in sorted order.
    """
    cells = _plain(table.columns[column])
    feature = table.features.get(column)
    of_feature = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    names = of_feature or table.class_names
    where = f"{table.origin}: column {column!r}"
    if _is_text(cells.type):
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
    """Numbers to be predicted, float32; NaN: empty cell."""
    cells = _plain(table.columns[column])
    where = f"{table.origin}: column {column!r}"
    if not _is_number(cells.type):
        raise ValueError(f"{where} holds {cells.type}; regression predicts numbers. Set `label` to another column")
    numbers = pc.fill_null(cells.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(f"{where}: row {row} holds {numbers[row]}; expected a finite number, or an empty cell for no label")
    return torch.from_numpy(numbers.astype(np.float32))


def _from_names(cells: pa.Array, names: list[str] | None, where: str) -> tuple[Tensor, list[str]]:
    values = cells.to_pylist()
    if names is None:
        names = sorted({value for value in values if value is not None})
    index = {name: place for place, name in enumerate(names)}
    for row, value in enumerate(values):
        if value is not None and value not in index:
            offer = ", ".join(nearest(value, names))
            raise ValueError(f"{where}: row {row} holds {value!r}, which is not a known class; nearest: {offer}")
    return torch.tensor([UNLABELLED if value is None else index[value] for value in values]), names


def _from_numbers(cells: pa.Array, where: str) -> Tensor:
    if not (_is_number(cells.type) or pa.types.is_boolean(cells.type)):
        raise ValueError(f"{where} holds {cells.type}; expected class indices or names. Set `label` to another column")
    numbers = pc.fill_null(cells.cast(pa.float64()), float(UNLABELLED)).to_numpy(zero_copy_only=False)
    numbers = np.where(np.isnan(numbers), UNLABELLED, numbers)
    fractional = numbers != np.floor(numbers)
    if fractional.any():
        row = int(fractional.argmax())
        raise ValueError(
            f"{where}: row {row} holds {numbers[row]}; expected class indices (whole numbers) or names. "
            "To predict numbers, set `regression: true`"
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


def _named(table: RawTable, what: str, wanted: str) -> str:
    names = table.columns.column_names
    if wanted not in names:
        raise ValueError(f"{what}={wanted!r}: {table.origin} has the columns {', '.join(names)}; set `{what}` to one of them")
    return wanted


def _holds_images(table: RawTable, column: str) -> bool:
    kind = table.columns.schema.field(column).type
    feature = table.features.get(column)
    declared = feature.get("_type") if isinstance(feature, dict) else None
    if declared is not None or column.lower() == "audio":
        return declared == "Image"
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return _is_text(kind) and column.lower() in IMAGE_NAMES and _first_is_image_path(table.columns[column])


def _first_is_image_path(cells: pa.ChunkedArray) -> bool:
    first = next((cell for cell in cells.slice(0, 16).to_pylist() if cell is not None), "")
    return Path(first).suffix.lower() in IMAGES


def _locate(table: RawTable, path: str | None) -> str | None:
    return path if path is None or table.folder is None else str(table.folder / path)


def _plain(cells: pa.ChunkedArray) -> pa.Array:
    """One array, its dictionary encoding undone."""
    array = cells.combine_chunks()
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _refuse_empty(cells: pa.Array, table: RawTable, column: str) -> None:
    if cells.null_count:
        row = cells.is_null().index(True).as_py()
        first = f"the first in row {row} of {len(cells)}"
        raise ValueError(f"{table.origin}: column {column!r} has empty cells, {first}; leave such rows out")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _value_type(kind: pa.DataType) -> pa.DataType | None:
    """The number type at the bottom of (nested lists of) numbers; None for anything else."""
    while True:
        if isinstance(kind, pa.ExtensionType):
            kind = kind.storage_type
        if not _is_list(kind):
            break
        kind = kind.value_type
    return kind if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None
