"""`load_items`: any data set as `Items`, by name or path, with its columns found or named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from limbeck.data.image.decode import MEMORY_LIMIT, DecodedImages, OnError, decode_images
from limbeck.data.items import Items
from limbeck.data.loading import columns
from limbeck.data.loading.digits import digit_images, select_split
from limbeck.data.loading.files import RawTable, open_table


def load_items(
    name_or_path: str | Path,
    *,
    split: str | None = None,
    input: str | Sequence[str] | None = None,
    label: str | Literal[False] | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
    regression: bool = False,
    on_error: OnError = "raise",
    memory_limit: int = MEMORY_LIMIT,
) -> Items:
    """Load a data set.

    Args:
        name_or_path: `"digits"`; a .parquet, .csv, .json or .jsonl file; a folder of such files, of images (one subfolder
            per class) or written by `save_to_disk`; else the name of a data set on the Hugging Face hub.
        split: which part, where there are several.
        input, label: the columns, where they cannot be found by type or name; `label=False` for data without labels. Two
            input columns, as in `["question", "sentence"]`, are pairs of texts.
        size: images are brought to N×N (or height, width): the shorter side is resized, the centre is kept.
        channels: 1 makes images grey, 3 RGB; left out, grey images stay grey and all others become RGB.
        classes: how many classes there are, where the labels do not show all of them.
        regression: labels are numbers to be predicted, not classes; an empty cell or NaN marks an item without one.
        on_error: "skip" leaves out images that do not decode, and warns with their number.
        memory_limit: images stay decoded in memory up to so many bytes; beyond, they are decoded whenever fetched.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'")
    decoding = _DecodeOptions(size, channels, on_error, memory_limit)
    if str(name_or_path) == "digits":
        images, target = digit_images()
        decoded = decoding.run(list(images), "digits")
        return select_split(Items(decoded.storage, decoded.keys, target, classes or 10, images=True), split)
    table = open_table(name_or_path, split)
    if not table.columns.num_rows:
        raise ValueError(f"{table.origin}: the data set is empty")
    inputs = (columns.input_column(table, input),) if isinstance(input, str | None) else columns.input_columns(table, input)
    labels = columns.label_column(table, label, inputs)
    return _from_table(table, inputs, _LabelOptions(labels, classes, regression), decoding)


@dataclass(frozen=True)
class _DecodeOptions:
    """How images are to be decoded."""

    size: int | tuple[int, int] | None
    channels: int | None
    on_error: OnError
    memory_limit: int

    def run(self, sources: list[object], origin: str) -> DecodedImages:
        return decode_images(
            sources,
            partial(_describe, origin, sources),
            size=self.size,
            channels=self.channels,
            on_error=self.on_error,
            memory_limit=self.memory_limit,
        )


@dataclass(frozen=True)
class _LabelOptions:
    """Which column holds the labels, and what they are."""

    column: str | None
    classes: int | None
    regression: bool

    def read(self, table: RawTable) -> tuple[Tensor | None, list[str] | None]:
        """The target, and the classes' names where they are known."""
        if self.regression and self.classes is not None:
            raise ValueError(f"classes={self.classes}: with `regression` labels are numbers, not classes; leave `classes` out")
        if self.column is None:
            return None, None
        if self.regression:
            return columns.read_numbers(table, self.column), None
        return columns.read_labels(table, self.column, self.classes)


def _from_table(table: RawTable, inputs: Sequence[str], labels: _LabelOptions, decoding: _DecodeOptions) -> Items:
    target, names = labels.read(table)  # first: a wrong label is found before decoding
    if len(inputs) == 2:
        pairs = list(zip(*(columns.read_texts(table, column) for column in inputs), strict=True))
        return Items.from_tensors(pairs, target, classes=labels.classes, class_names=names)
    (column,) = inputs
    kind = columns.column_kind(table, column)
    if kind == "image":
        decoded = decoding.run(columns.read_images(table, column), table.origin)
        target = None if target is None else target[decoded.rows]
        return Items(decoded.storage, decoded.keys, target, labels.classes, names, images=True)
    read = columns.read_texts(table, column) if kind == "text" else columns.read_array(table, column)
    return Items.from_tensors(read, target, classes=labels.classes, class_names=names)


def _describe(origin: str, sources: list[object], row: int) -> str:
    source = sources[row]
    return source if isinstance(source, str) else f"{origin} row {row}"
