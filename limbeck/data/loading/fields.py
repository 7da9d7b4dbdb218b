"""`load_fields`: loads items of several named fields, each of a modality."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from limbeck.data.audio.options import AudioOptions
from limbeck.data.fields import Modality, field_items, named_modalities
from limbeck.data.fields.modalities import AudioModality, ImageModality, TableModality
from limbeck.data.image.load import MEMORY_LIMIT
from limbeck.data.items import Items
from limbeck.data.loading.columns import LABEL_NAMES, label_columns
from limbeck.data.loading.labels import LabelReader, class_labels, first_labels
from limbeck.data.loading.load import first_items
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.loading.rows import Where, all_rows, open_rows
from limbeck.utils.argument_types import require_whole


def load_fields(
    name_or_path: str | Path,
    fields: Mapping[str, str | Mapping[str, Any] | Modality] | Sequence[str],
    reads: Mapping[str, str],
    *,
    split: str | None = None,
    where: Where | None = None,
    limit: int | None = None,
    missing: Literal["refuse", "skip"] = "refuse",
    label: str | Sequence[str] | Literal[False] | None = None,
    size: int | tuple[int, int] | None = None,
    channels: Literal[1, 3] | None = None,
    read_labels: LabelReader | None = None,
    audio: AudioOptions | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Items:
    """Load items of several fields, of which each actor reads one.

    Texts become tokens with `map_field(items, "caption", lambda texts: tokenize(texts, tokenizer))`, rows of a table vectors
    with a `TableEncoder`.

    Args:
        fields: field to its modality, by name or with its options: `{"wave": "audio", "title": {"text": {"column": "name"}}}`.
            A list names fields like their modalities, and finds their columns by type: `["audio", "image"]`.
        reads: actor to the field that it reads: `{"student": "wave", "teacher": "image"}`.
        missing: an item without one of its fields is an error, or is left out and counted in a warning.
        split, where, limit, label, read_labels: as for `load_items`; without a column of a usual name there are no labels.
        size, channels: of fields of images that do not say their own.
        audio: of fields of sounds that do not say their own.
        memory_limit: bytes of decoded images or spectrograms of a field that stay in memory.

    Raises:
        ValueError: an unknown modality or column, or a column that holds something else; an item without one of its fields,
            with its row.
    """
    table = open_rows(name_or_path, split, where=where, limit=limit)
    kinds = {
        name: each if isinstance(each, Modality) else named_modalities({name: each})[name] for name, each in _pairs(fields)
    }
    if missing == "skip" or any(isinstance(kind, TableModality) for kind in kinds.values()):
        table = all_rows(table)  # which items are the first, and whether texts are categories, shows in all rows
    _refuse_unused(kinds.values(), {"size": size, "channels": channels}, ImageModality)
    _refuse_unused(kinds.values(), {"audio": audio}, AudioModality)
    require_whole("memory_limit", memory_limit, 0)
    for kind in kinds.values():
        _fill_in(kind, size, channels, audio)
        if isinstance(kind, ImageModality | AudioModality):
            kind.memory_limit = memory_limit
    labels = _label_columns(table, label)
    columns = _find_columns(table, kinds, labels)
    single = [columns[name][0] for name, kind in kinds.items() if not isinstance(kind, TableModality)]
    table = _without_missing(table, single, {columns[name][0]: name for name in kinds}, missing)
    reader = read_labels or class_labels
    target, classes, names = first_labels(table, labels, None, reader) if labels else (None, None, None)
    parts = {}
    for name, kind in kinds.items():
        part = kind.decode(table, columns[name])
        parts[name] = Items(part.storage, part.keys, target, classes, names, part.images)
    return first_items(field_items(parts, reads, kinds), limit)


def _pairs(fields: Mapping[str, Any] | Sequence[str]) -> list[tuple[str, Any]]:
    return list(fields.items()) if isinstance(fields, Mapping) else [(name, name) for name in fields]


def _fill_in(
    kind: Modality, size: int | tuple[int, int] | None, channels: Literal[1, 3] | None, audio: AudioOptions | None
) -> None:
    """Sets options that a field does not say itself."""
    if isinstance(kind, ImageModality):
        kind.size, kind.channels = kind.size or size, kind.channels or channels
    if isinstance(kind, AudioModality) and audio is not None and kind.options == AudioOptions():
        kind.options = audio


def _refuse_unused(kinds: Iterable[Modality], options: Mapping[str, Any], kind: type[Modality]) -> None:
    """Refuses options of a kind that no field is of: they would have no effect."""
    given = [name for name, value in options.items() if value is not None]
    if given and not any(isinstance(each, kind) for each in kinds):
        raise ValueError(f"{given[0]}: no field is of {kind.what}; leave it out")


def _label_columns(table: RawTable, label: str | Sequence[str] | Literal[False] | None) -> tuple[str, ...]:
    """The columns that are named, or else the first of a usual name."""
    if label is None:
        return tuple(name for name in LABEL_NAMES if name in table.columns.column_names)[:1]
    return label_columns(table, label, ())


def _find_columns(table: RawTable, kinds: Mapping[str, Modality], labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns of each field; those of tables last, which read what no other field does."""
    columns: dict[str, tuple[str, ...]] = {}
    for name in sorted(kinds, key=lambda name: isinstance(kinds[name], TableModality)):
        others = [*labels, *(column for found in columns.values() for column in found)]
        columns[name] = kinds[name].find_columns(table, name, others)
        if label := next((column for column in columns[name] if column in labels), None):
            raise ValueError(f"fields: {table.origin}: the field {name!r} reads column {label!r}, which is the label")
    return columns


def _without_missing(table: RawTable, columns: list[str], fields: Mapping[str, str], missing: str) -> RawTable:
    """The rows that have all fields; a row of a table may lack some of its values."""
    absent = {fields[column]: _is_missing(table.columns[column]) for column in columns}
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
        raise ValueError(f"{table.origin}: no item has all of its fields {', '.join(fields.values())}")
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
