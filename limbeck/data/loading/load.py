"""`load_items`: loads a data set by name or path as `Items`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa  # type: ignore[import-untyped]
import torch
from torch import Tensor

from limbeck.data.audio.decode import DecodedAudio, decode_audio
from limbeck.data.audio.options import AudioOptions
from limbeck.data.class_names import suspicious_names
from limbeck.data.image.load import MEMORY_LIMIT, LoadedImages, OnError, check_image_options, load_arrays, load_images
from limbeck.data.items import Items
from limbeck.data.loading.cells import MediaSources, describe_source, read_array, read_texts
from limbeck.data.loading.columns import ColumnError, column_kind, input_candidates, input_column, input_columns, label_columns
from limbeck.data.loading.digits import digit_images, select_split
from limbeck.data.loading.labels import LabelReader, class_labels, first_labels, number_labels
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.loading.rows import Where, all_rows, open_rows
from limbeck.data.table.columns import TableOptions, find_columns, may_be_table, read_table
from limbeck.utils.argument_types import require_whole


def load_items(
    name_or_path: Any,
    *,
    split: str | None = None,
    where: Where | None = None,
    limit: int | None = None,
    input: str | Sequence[str] | None = None,
    label: str | Sequence[str] | Literal[False] | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
    regression: bool = False,
    read_labels: LabelReader | None = None,
    on_error: OnError = "raise",
    memory_limit: int = MEMORY_LIMIT,
    table: TableOptions | None = None,
    audio: AudioOptions | None = None,
) -> Items:
    """Load a data set.

    Several columns of numbers and categories, none of which is the input by type or name, are the features of a table. Its
    items are rows; `limbeck.data.TableEncoder` turns them into vectors.

    Args:
        name_or_path: "digits"; a .parquet, .csv, .json or .jsonl file; WebDataset shards (`train-{000..147}.tar`); a folder of
            either, of images (one subfolder per class) or written by `save_to_disk`; the name of a data set on the hub; or a
            data frame, a pyarrow table, a data set of `datasets`, streamed if it says how many items it has or with `limit`.
        split: which split, if there are several.
        where: keeps rows by the values of columns: `{"style": "twitter"}`, or one of several, `{"year": [2023, 2024]}`.
        limit: only the first items, this many. Files, folders and streams are read no further than that takes, but for labels
            that name their classes nowhere else: classes are those of all labels, except of a stream.
        input: the input column, if it cannot be found by type or name; two columns are pairs of texts.
        label: the label column, if it cannot be found by name, or several; False for data without labels.
        size: N for N×N, or (height, width): images are resized, then cropped around the centre.
        channels: 1 (grey) or 3 (RGB). Default: grey images stay grey, all others become RGB.
        classes: number of classes, if the labels do not show all of them.
        regression: whether labels are numbers to predict; an empty cell or NaN is an unlabelled item.
        read_labels: how labels are read, such as `multi_hot_labels`; default: one class, or with `regression` one number.
        on_error: "skip" leaves out images and sounds that do not decode, with a warning.
        memory_limit: bytes of decoded images or spectrograms that stay in memory; others are decoded when they are fetched.
        table: reads a table, and says which of its columns are numeric or categorical if types do not.
        audio: how sounds become log-mel spectrograms; None: the defaults of `AudioOptions`.

    Raises:
        FileNotFoundError: nothing of this name, with the nearest names.
        ValueError: columns that cannot be found, or cells that cannot be read.
    """
    decoder = _Decoder(size, channels, on_error, memory_limit, audio)
    if isinstance(name_or_path, str | Path) and str(name_or_path) == "digits":
        _refuse_columns({"where": where, "input": input, "label": label, "table": table, "audio": audio})
        return first_items(_digits(decoder, classes, split, labelled=label is not False), limit)
    reader = read_labels or (number_labels if regression else class_labels)
    read = partial(_items_of, input=input, label=label, classes=classes, reader=reader, table=table, decoder=decoder)
    raw = open_rows(name_or_path, split, where=where, limit=limit, on_error=on_error)
    items = read(raw)
    if len(items) < raw.columns.num_rows and raw.read_all is not None:  # some do not decode: others are the first
        items = read(all_rows(raw))
    del raw
    pa.default_memory_pool().release_unused()  # pyarrow keeps the memory of the columns, which may be as large as the items
    return first_items(items, limit)


def _items_of(
    raw: RawTable,
    *,
    input: str | Sequence[str] | None,
    label: str | Sequence[str] | Literal[False] | None,
    classes: int | None,
    reader: LabelReader,
    table: TableOptions | None,
    decoder: _Decoder,
) -> Items:
    if input is not None and table is not None:
        raise ValueError(f"input={input!r}: one column is the input, or a table is; leave out `input` or `table`")
    others = tuple(label) if isinstance(label, Sequence) and not isinstance(label, str) else ()
    if table is not None or (input is None and may_be_table(raw, input_candidates(raw, others))):
        decoder.check_kind("a table", raw.origin)
        raw = all_rows(raw)  # whether texts are categories shows in all of them
        return _table_items(raw, table or TableOptions(), _LabelColumns(label_columns(raw, label, ()), classes, reader))
    inputs = (input_column(raw, input, others),) if isinstance(input, str | None) else input_columns(raw, input)
    return _from_columns(raw, inputs, _LabelColumns(label_columns(raw, label, inputs), classes, reader), decoder)


def first_items(items: Items, limit: int | None) -> Items:
    """Only the first items; all of them if there are no more, or `limit` is None."""
    require_whole("limit", limit, 1)
    return items if limit is None or len(items) <= limit else items.select(torch.arange(limit))


def _refuse_columns(options: Mapping[str, Any]) -> None:
    """Refuses what is said of the columns of digits, which has none."""
    for name, value in options.items():
        if value:
            shown = f"{name}={value!r}" if isinstance(value, str | list | Mapping) else name
            raise ColumnError(f"{shown}: digits has no columns; leave it out", name)


def _digits(decoder: _Decoder, classes: int | None, split: str | None, *, labelled: bool) -> Items:
    images, target = digit_images()
    decoded = load_arrays(images, decoder.size, decoder.channels)
    found = select_split(Items(decoded.storage, decoded.keys, target, classes or 10, images=True), split)
    return found if labelled else Items(found.storage, found.keys, images=True)


@dataclass(frozen=True)
class _Decoder:
    """Options of `load_images` and `decode_audio`."""

    size: int | tuple[int, int] | None
    channels: int | None
    on_error: OnError
    memory_limit: int
    audio: AudioOptions | None

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={self.on_error!r}: expected 'raise' or 'skip'")
        check_image_options(self.size, self.channels)
        require_whole("memory_limit", self.memory_limit, 0)

    def check_kind(self, kind: str, where: str) -> None:
        """Refuses what is said of images or sounds, of data that are none: it would have no effect.

        Args:
            kind: of the inputs, in the plural.
            where: what holds them.
        """
        given: dict[str, Any] = {"size": self.size, "channels": self.channels} if kind != "images" else {}
        given |= {"audio": self.audio} if kind != "sounds" else {}
        name = next((name for name, value in given.items() if value is not None), None)
        if name is not None:
            expected = "sounds" if name == "audio" else "images"
            raise ValueError(f"{name}: {where} holds {kind}, no {expected}; leave out `{name}`")

    def decode_sounds(self, sources: Sequence[Any], origin: str) -> DecodedAudio:
        describe, options = partial(describe_source, origin, sources), self.audio or AudioOptions()
        return decode_audio(sources, describe, options, on_error=self.on_error, memory_limit=self.memory_limit)

    def load_images(self, sources: Sequence[Any], origin: str) -> LoadedImages:
        return load_images(
            sources,
            partial(describe_source, origin, sources),
            size=self.size,
            channels=self.channels,
            on_error=self.on_error,
            memory_limit=self.memory_limit,
        )


@dataclass(frozen=True)
class _LabelColumns:
    """The columns of the labels, none for data without labels, and how they are read."""

    columns: tuple[str, ...]
    classes: int | None
    reader: LabelReader

    def read(self, table: RawTable) -> tuple[Tensor | None, int | None, list[str] | None]:
        """The target, the number of classes and their names if they are known."""
        if not self.columns:
            return None, self.classes, None
        target, classes, names = first_labels(table, self.columns, self.classes, self.reader)
        for problem in suspicious_names(names or ()):
            warnings.warn(f"{table.origin}: {problem}", stacklevel=2)
        return target, classes, names


def _table_items(table: RawTable, options: TableOptions, labels: _LabelColumns) -> Items:
    """Rows of a table, not yet encoded."""
    target, classes, names = labels.read(table)
    rows = read_table(table, find_columns(table, labels.columns, options), options)
    return Items(rows, rows.keys(), target, classes, names)


def _from_columns(table: RawTable, inputs: Sequence[str], labels: _LabelColumns, decoder: _Decoder) -> Items:
    target, classes, names = labels.read(table)  # before the images are decoded, so that a wrong label is found at once
    if len(inputs) == 2:
        decoder.check_kind("texts", table.origin)
        pairs = list(zip(*(read_texts(table, column, blank=True) for column in inputs), strict=True))
        return Items.from_tensors(pairs, target, classes=classes, class_names=names)
    (column,) = inputs
    kind = column_kind(table, column)
    decoder.check_kind({"audio": "sounds"}.get(kind, f"{kind}s"), f"{table.origin}: column {column!r}")
    if kind == "audio":
        sounds = decoder.decode_sounds(MediaSources(table, column), table.origin)
        target = None if target is None else target[sounds.rows]
        return Items(sounds.storage, sounds.keys, target, classes, names)
    if kind == "image":
        decoded = decoder.load_images(MediaSources(table, column), table.origin)
        target = None if target is None else target[decoded.rows]
        return Items(decoded.storage, decoded.keys, target, classes, names, images=True)
    cells = read_texts(table, column) if kind == "text" else read_array(table, column)
    return Items.from_tensors(cells, target, classes=classes, class_names=names)
