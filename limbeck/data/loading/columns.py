"""Finds the columns of inputs and labels, and the kind of their cells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.arrow_types import is_binary, is_number_array, is_scalar, is_text
from limbeck.data.loading.image_folder import IMAGE_SUFFIXES
from limbeck.data.loading.raw_table import RawTable

ColumnKind = Literal["image", "audio", "text", "array"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
AUDIO_BEGINNINGS = (b"RIFF", b"fLaC", b"OggS")  # of files; of RIFF, those that go on with WAVE
IMAGE_NAMES = ("image", "img", "image_path", "file_name", "path")
INPUT_NAMES = (*IMAGE_NAMES, "pixel_values", "text", "sentence", "content", "input", "inputs", "features", "x")
LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y", "fine_label")


class ColumnError(ValueError):
    """Data that does not have a column which `option` names: input or label."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


def named_column(table: RawTable, option: str, wanted: str) -> str:
    """Returns the column `wanted`, which `option` names.

    Raises:
        ColumnError: no such column; the message lists those that there are.
    """
    names = table.columns.column_names
    if wanted not in names:
        columns = ", ".join(names)
        message = f"{option}={wanted!r}: {table.origin} has the columns {columns}; set `{option}` to one of them"
        raise ColumnError(message, option)
    return wanted


def input_column(table: RawTable, wanted: str | None, labels: Sequence[str] = ()) -> str:
    """The column `wanted`; by default the only column of images or sounds, else the only one whose name is usual for inputs,
    else the only one that is not the label.

    Raises:
        ValueError: no such column, or several.
    """
    names: list[str] = table.columns.column_names
    if wanted is not None:
        return named_column(table, "input", wanted)
    found = input_candidates(table, labels)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{table.origin}: which column is the input? Set `input` to one of: {', '.join(found)}{_as_table(table, found)}"
        )
    raise ValueError(f"{table.origin}: no input among the columns {', '.join(names)}; name it with `input`")


def _as_table(table: RawTable, names: Sequence[str]) -> str:
    """What would make columns the features of a table: leaving out the few that are neither numbers nor texts."""
    schema = table.columns.schema
    others = {name: schema.field(name).type for name in names if not is_scalar(schema.field(name).type)}
    if not 0 < len(others) < len(names):
        return ""
    kinds = ", ".join(f"{name!r} holds {kind}" for name, kind in others.items())
    return (
        f". To read them as a table, leave out what is neither a number nor a text ({kinds}): "
        f"table: {{exclude: [{', '.join(others)}]}}"
    )


def input_candidates(table: RawTable, labels: Sequence[str] = ()) -> list[str]:
    """The columns that may be the input: those of images and sounds, else those whose name is usual for inputs, else all but
    labels, whatever columns are named as such."""
    names: list[str] = [name for name in table.columns.column_names if name not in labels]
    by_kind = [name for name in names if _holds_images(table, name) or _holds_sounds(table, name)]
    by_name = [name for name in names if name.lower() in INPUT_NAMES]
    return by_kind or by_name or [name for name in names if name.lower() not in LABEL_NAMES]


def input_columns(table: RawTable, wanted: Sequence[str]) -> tuple[str, ...]:
    """The one column `wanted`, or two columns of texts that form pairs."""
    if not 1 <= len(wanted) <= 2 or len(set(wanted)) < len(wanted):
        raise ValueError(f"input={list(wanted)}: expected one column, or two different ones for pairs of texts")
    for name in wanted:
        if len(wanted) == 2 and column_kind(table, named_column(table, "input", name)) != "text":
            found = table.columns.schema.field(name).type
            raise ValueError(f"input={list(wanted)}: {table.origin}: column {name!r} holds {found}; pairs are of texts")
    return tuple(named_column(table, "input", name) for name in wanted)


def label_columns(
    table: RawTable, wanted: str | Sequence[str] | Literal[False] | None, inputs: Sequence[str]
) -> tuple[str, ...]:
    """The columns `wanted`; by default the only one whose name is usual for labels. None at all if `wanted` is False or there
    are no columns besides `inputs`.

    Raises:
        ValueError: no such column, or several that could be the label.
    """
    if wanted is False:
        return ()
    if wanted is not None:
        return tuple(named_column(table, "label", name) for name in ((wanted,) if isinstance(wanted, str) else wanted))
    others: list[str] = [name for name in table.columns.column_names if name not in inputs]
    found = [name for name in others if name.lower() in LABEL_NAMES]
    if len(found) == 1:
        return (found[0],)
    if found or others:
        offer = ", ".join(found or others)
        raise ValueError(
            f"{table.origin}: which column is the label? Set `label` to one of: {offer}; or `label: false` for none"
        )
    return ()


def column_kind(table: RawTable, column: str) -> ColumnKind:
    """Whether cells are images, sounds, texts or arrays of numbers."""
    kind = table.columns.schema.field(column).type
    if _holds_sounds(table, column):
        return "audio"
    if _holds_images(table, column):
        return "image"
    if is_text(kind):
        return "text"
    if is_number_array(kind):
        return "array"
    raise ValueError(f"{table.origin}: column {column!r} holds {kind}; expected images, sounds, texts or arrays of numbers")


def holds_images(table: RawTable) -> bool:
    """Whether a column of the table is of images."""
    return any(_holds_images(table, name) for name in table.columns.column_names)


def _holds_images(table: RawTable, column: str) -> bool:
    """Declared as `Image`; or bytes; or paths of images, in a column of a usual name or of files that are there."""
    kind = table.columns.schema.field(column).type
    declared = _declared(table, column)
    if declared is not None or column.lower() == "audio":
        return declared == "Image"
    if _holds_sounds(table, column):
        return False
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if is_binary(kind):
        return True
    if not is_text(kind) or Path(path := str(_first(table.columns[column]))).suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return column.lower() in IMAGE_NAMES or os.path.isfile(os.path.join(table.folder or "", path))


def _holds_sounds(table: RawTable, column: str) -> bool:
    """Declared as `Audio`; or bytes or paths of files, in a column called audio or whose first one is a sound."""
    kind = table.columns.schema.field(column).type
    declared = _declared(table, column)
    if declared is not None:
        return declared == "Audio"
    files = is_binary(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
    if not files and not is_text(kind):
        return False
    return (files and column.lower() == "audio") or _first_is_sound(table.columns[column])


def _declared(table: RawTable, column: str) -> str | None:
    """The feature of `datasets` that a column is declared as; None: as plain values, or not at all."""
    feature = table.features.get(column)
    declared = feature.get("_type") if isinstance(feature, dict) else None
    return None if declared in (None, "Value") else str(declared)


def _first_is_sound(cells: pa.ChunkedArray) -> bool:
    first = _first(cells)
    if isinstance(first, dict):
        first = first.get("bytes") or first.get("path") or ""
    if isinstance(first, bytes):
        return first[:4] in AUDIO_BEGINNINGS and (first[:4] != b"RIFF" or first[8:12] == b"WAVE")
    return first.lower().endswith(AUDIO_SUFFIXES) and len(first) < 4096


def _first(cells: pa.ChunkedArray) -> Any:
    """The first cell that is not empty, of the first ones."""
    return next((cell for cell in cells.slice(0, 16).to_pylist() if cell), "")
