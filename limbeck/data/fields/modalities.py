"""The modalities that come with the package: image, audio, text, table, array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from limbeck.core.batch import token_mask
from limbeck.data.audio.decode import decode_audio
from limbeck.data.audio.options import AudioOptions
from limbeck.data.fields.modality import Modality, registry
from limbeck.data.image.load import MEMORY_LIMIT, load_images
from limbeck.data.image.transform import to_float
from limbeck.data.items import Items
from limbeck.data.loading.arrow_types import is_scalar
from limbeck.data.loading.cells import MediaSources, describe_source, read_array, read_texts
from limbeck.data.loading.columns import LABEL_NAMES, column_kind
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.table.columns import TableOptions, find_columns, read_table


class _OneKind(Modality):
    """A modality that one kind of column holds."""

    def holds(self, table: RawTable, column: str) -> bool:
        try:
            return column_kind(table, column) == self.name
        except ValueError:  # numbers, for one, which are a column of a table
            return False


@registry.register("image")
class ImageModality(_OneKind):
    """Images, `[C, H, W]` in [0, 1].

    Args:
        size: N for N×N, or (height, width): images are resized, then cropped around the centre.
        channels: 1 (grey) or 3 (RGB). Default: grey images stay grey, all others become RGB.
    """

    name: ClassVar[str] = "image"
    what: ClassVar[str] = "images"
    memory_limit: int = MEMORY_LIMIT  # bytes of decoded images that stay in memory

    def __init__(
        self, column: str | None = None, size: int | tuple[int, int] | None = None, channels: Literal[1, 3] | None = None
    ) -> None:
        super().__init__(column)
        self.size, self.channels = size, channels

    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        sources = MediaSources(table, *columns)
        describe = partial(describe_source, table.origin, sources)
        found = load_images(sources, describe, size=self.size, channels=self.channels, memory_limit=self.memory_limit)
        return Items(found.storage, found.keys, images=True)

    def collate(self, items: Items, rows: Tensor) -> Any:
        return to_float(items.fetch(rows))


@registry.register("audio")
class AudioModality(_OneKind):
    """Sounds as log-mel spectrograms `[1, n_mels, frames]`; the options are those of `AudioOptions`."""

    name: ClassVar[str] = "audio"
    what: ClassVar[str] = "sounds"
    memory_limit: int = MEMORY_LIMIT  # bytes of spectrograms that stay in memory

    def __init__(self, column: str | None = None, **options: Any) -> None:
        super().__init__(column)
        self.options = AudioOptions(**options)

    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        sources = MediaSources(table, *columns)
        describe = partial(describe_source, table.origin, sources)
        found = decode_audio(sources, describe, self.options, memory_limit=self.memory_limit)
        return Items(found.storage, found.keys)


@registry.register("text")
class TextModality(_OneKind):
    """Texts, which are tokenized before a model reads them."""

    name: ClassVar[str] = "text"
    what: ClassVar[str] = "texts"

    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        return Items.from_tensors(read_texts(table, *columns))

    def mask(self, inputs: Any) -> Tensor | None:
        return token_mask(inputs)


@registry.register("table")
class TableModality(Modality):
    """Several columns of numbers and categories as one vector; the options are those of `TableOptions`.

    Without `numeric` or `categorical` it reads all columns of these types that are neither labels nor other fields.
    """

    name: ClassVar[str] = "table"
    what: ClassVar[str] = "numbers or categories"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = TableOptions(**options)

    def holds(self, table: RawTable, column: str) -> bool:
        return is_scalar(table.columns.schema.field(column).type)

    def find_columns(self, table: RawTable, field: str, others: Sequence[str]) -> tuple[str, ...]:
        names = table.columns.column_names
        named = {*self.options.numeric, *self.options.categorical}  # may be read by another field too
        unread = [name for name in names if name in others or name.lower() in LABEL_NAMES or not self.holds(table, name)]
        unread = [name for name in unread if name not in named]
        found = find_columns(table, unread, self.options)
        return (*found.numeric, *found.categorical)

    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        unread = [name for name in table.columns.column_names if name not in columns]
        rows = read_table(table, find_columns(table, unread, self.options), self.options)
        return Items(rows, rows.keys())


@registry.register("array")
class ArrayModality(_OneKind):
    """Numbers, or nested lists of them of equal lengths, as one tensor."""

    name: ClassVar[str] = "array"
    what: ClassVar[str] = "arrays of numbers"

    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        return Items.from_tensors(read_array(table, *columns), images=False)
