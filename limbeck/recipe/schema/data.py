"""`data:` training, validation and test data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ByteSize,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)

from limbeck.core.batch import DEFAULT_VIEW
from limbeck.data import AudioOptions, Items, TableOptions, load_fields, load_items
from limbeck.data.fields import named_modalities
from limbeck.data.image.load import MEMORY_LIMIT
from limbeck.data.loading import LabelReader, class_labels
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.base import NamedPart, Spec, check_buildable, default_of

STRIDE = 64  # tokens, by default


class TableSpec(Spec):
    """Which columns of a table are inputs. By default all but the label are, numeric or categorical by their type."""

    numeric: tuple[str, ...] = Field((), description="columns of numbers; if any are named, only named columns are read")
    categorical: tuple[str, ...] = Field((), description="columns of categories; numbers named here are codes")
    exclude: tuple[str, ...] = Field((), description="columns that are not read")
    max_categories: int = Field(
        default_of(TableOptions, "max_categories"), gt=1, description="the most values of a column of texts"
    )
    nan: Literal["refuse", "missing"] = Field(
        default_of(TableOptions, "nan"), description="a cell that holds NaN is an error, or a missing value like an empty cell"
    )

    def build(self) -> TableOptions:
        return TableOptions(**self.model_dump())


class AudioSpec(Spec):
    """How sounds become log-mel spectrograms. Validation and test data are read as the training data is."""

    n_mels: int = Field(default_of(AudioOptions, "n_mels"), gt=0, description="bands of frequencies")
    n_fft: int = Field(default_of(AudioOptions, "n_fft"), gt=1, description="samples of a window")
    hop: int = Field(default_of(AudioOptions, "hop"), gt=0, description="samples from one window to the next")
    sample_rate: int | None = Field(None, gt=0, description="samples a second; none: those of the first sound")
    resample: bool = Field(
        default_of(AudioOptions, "resample"), description="convert sounds of another sample rate, which are refused otherwise"
    )
    seconds: float = Field(
        default_of(AudioOptions, "seconds"), gt=0, description="length of every sound: shorter ones are padded, longer ones cut"
    )
    crop: Literal["start", "center"] = Field(
        default_of(AudioOptions, "crop"), description="which part of a longer sound is kept"
    )

    def build(self) -> AudioOptions:
        return AudioOptions(**self.model_dump())


Cell = StrictBool | StrictInt | StrictFloat | StrictStr


def _table(value: Any) -> Any:
    """Returns the long form of `true`."""
    return {} if value is True else value or None


def _fields(value: Any) -> Any:
    """Returns the long form of a list of modalities."""
    return {name: name for name in value} if isinstance(value, list | tuple) else value


def _bytes(value: Any) -> Any:
    """Returns a number of bytes, from one or from a text such as 4GB."""
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


Bytes = Annotated[int, BeforeValidator(_bytes)]


class DatasetSpec(Spec):
    """One data set: a path or a name, and which columns hold what."""

    path: str = Field(description="digits; a Parquet, CSV or JSON file; tar shards; an image folder; or a data set on the hub")
    split: str | None = None
    where: dict[str, Cell | list[Cell]] | None = Field(
        None, min_length=1, description="keep rows by the values of columns: {style: twitter}, {year: [2023, 2024]}"
    )
    input: str | list[str] | None = Field(
        None, description="the input column, if it is not found by type or name; two columns of texts make pairs"
    )
    label: str | list[str] | Literal[False] | None = Field(
        None, description="the label column, if it is not found by type or name, or several columns; false: there is none"
    )
    size: int | None = Field(None, gt=0, description="resize images to this many pixels a side")
    channels: Literal[1, 3] | None = None
    table: Annotated[TableSpec | None, BeforeValidator(_table)] = Field(
        None, description="true: several columns are the input; or which, such as {categorical: [sex], exclude: [id]}"
    )
    fields: Annotated[dict[str, NamedPart] | None, BeforeValidator(_fields)] = Field(
        None, min_length=1, description="what models read, and the modality of each: {wave: audio, image: {image: {size: 32}}}"
    )
    missing: Literal["refuse", "skip"] = Field(
        "refuse", description="an item without one of its fields is an error, or is left out and counted"
    )
    audio: AudioSpec | None = Field(None, description="of sounds: their spectrograms, such as {n_mels: 64, seconds: 1}")
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with an image or sound that does not decode")
    limit: int | None = Field(None, gt=0, description="only the first items, this many; no more is read")
    memory_limit: Bytes = Field(
        MEMORY_LIMIT,
        ge=0,
        description="decoded images or spectrograms that stay in memory, such as 4GB",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("fields")
    @classmethod
    def _check_fields(cls, fields: dict[str, NamedPart] | None) -> dict[str, NamedPart] | None:
        if fields is not None and DEFAULT_VIEW in fields:
            raise ValueError(f"a field cannot be named {DEFAULT_VIEW!r}, which is the name of a view; name its column in it")
        check_buildable(lambda: named_modalities(fields or {}))
        return fields

    @model_validator(mode="after")
    def _check_one_input(self) -> DatasetSpec:
        if self.fields is not None and (self.input is not None or self.table is not None):
            raise ValueError("fields: are the inputs; leave out input: and table:")
        if self.fields is not None and self.on_error == "skip":
            raise ValueError("on_error: skip leaves out items of one input; with fields: leave it out and repair the files")
        if self.input is not None and self.table is not None:
            raise ValueError("one column is the input:, or a table: is; leave one of them out")
        return self

    @property
    def modalities(self) -> dict[str, str] | None:
        """The modality of each field; None if there are no fields."""
        return None if self.fields is None else {name: next(iter(field)) for name, field in self.fields.items()}

    def load(self, read_labels: LabelReader | None = class_labels, reads: Mapping[str, str] | None = None) -> Items:
        """Loads the items.

        Args:
            read_labels: reads the column of labels; None: without labels, also if the data has some.
            reads: of `fields`, which each actor reads.
        """
        if self.fields is not None:
            return load_fields(
                expand_variables(self.path, "data"),
                self.fields,
                reads or {},
                split=self.split,
                where=self.where,
                limit=self.limit,
                missing=self.missing,
                label=False if read_labels is None else self.label,
                size=self.size,
                channels=self.channels,
                read_labels=read_labels,
                audio=None if self.audio is None else self.audio.build(),
                memory_limit=self.memory_limit,
            )
        return load_items(
            expand_variables(self.path, "data"),
            split=self.split,
            where=self.where,
            limit=self.limit,
            input=self.input,
            label=False if read_labels is None else self.label,
            size=self.size,
            channels=self.channels,
            read_labels=read_labels,
            on_error=self.on_error,
            table=None if self.table is None else self.table.build(),
            audio=None if self.audio is None else self.audio.build(),
            memory_limit=self.memory_limit,
        )


Share = Annotated[float, Field(ge=0, lt=1)]
ValidationField = Annotated[
    Annotated[Share, Tag("Share")] | Annotated[DatasetSpec, Tag("DatasetSpec")],
    Discriminator(lambda value: "DatasetSpec" if isinstance(value, DatasetSpec | Mapping | str) else "Share"),
]


class WordReplacementSpec(Spec):
    """Where the replacements of words come from: neighbours among word vectors, or predictions of a masked language model."""

    neighbours: str | Literal[False] = Field(
        "embeddings", description="embeddings: the teacher's own, of whole words; or a file of word vectors, such as GloVe's"
    )
    minimum: float = Field(0.3, ge=-1, le=1, description="the smallest cosine of a neighbour")
    masked: str | None = Field(None, description="a masked language model (name or folder), used before the neighbours")
    together: int = Field(1, gt=0, description="words masked at once; more is faster, and less exact")
    count: int = Field(15, gt=0, description="candidates for each word")

    @model_validator(mode="after")
    def _check_source(self) -> WordReplacementSpec:
        if not self.neighbours and self.masked is None:
            raise ValueError("neighbours is false and there is no masked model; words need candidates from one of the two")
        return self


class AugmentSpec(WordReplacementSpec):
    """Augmented copies of the training texts, which the student sees too (TinyBERT)."""

    copies: int = Field(20, gt=0, description="of each text, at most")
    probability: float = Field(0.4, ge=0, le=1, description="that a word is replaced")
    seed: int = Field(0, description="of the copies")
    cache: str | None = Field(None, description="a folder that keeps the augmented texts; none: they are made at each start")


class DataSpec(Spec):
    """Training, validation and test data."""

    train: DatasetSpec | None = Field(None, description="none: all updates have sources of their own")
    test: DatasetSpec
    validation: ValidationField = Field(
        0.0, description="a share of the training data, or a data set of its own; 0: none, the last state is used"
    )
    labels: int | None = Field(None, gt=0, description="keep this many training labels; all other items become unlabelled")
    labels_seed: int = 0
    tokenizer: str | None = Field(None, description="of texts: a name or folder for Transformers; none: the teacher's own")
    max_length: int = Field(128, gt=2, description="of texts: the most tokens of an item; longer ones are cut")
    stride: int = Field(
        STRIDE,
        ge=0,
        description="of contexts of questions: the tokens that a window shares with the next; with a max_length below "
        f"{3 * STRIDE} the default is a quarter of that",
    )
    unlabelled: bool = Field(True, description="whether the student sees items without a label; the teacher learns from all")
    allow_shared_items: bool = Field(
        False, description="go on if all test items are in the training or validation data, which is refused otherwise"
    )
    augment: AugmentSpec | None = Field(None, description="augmented copies of the texts that the student sees")

    @property
    def window_stride(self) -> int:
        """The stride of windows; a default that is too long for the windows is shortened."""
        return self.max_length // 4 if self.stride == STRIDE and self.max_length < 3 * STRIDE else self.stride

    @property
    def like(self) -> DatasetSpec:
        """The data set whose options all data has: the training data, or without any the test data."""
        return self.train or self.test
