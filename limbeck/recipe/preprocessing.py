"""What turns raw inputs into what models read, learned from the training data: columns of tables, options of spectrograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.data import AudioOptions, FieldStorage, Items, TableEncoder, TableStorage, map_field
from limbeck.data.audio import SpectrogramStorage
from limbeck.data.audio.options import FILE_NAME as AUDIO_FILE
from limbeck.data.table.encoder import FILE_NAME as TABLE_FILE
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.schema.base import default_of
from limbeck.recipe.schema.data import AudioSpec, DatasetSpec, TableSpec

WHOLE = ""  # in place of a field's name, of data without fields


class Preprocessing:
    """Encoders of tables and options of spectrograms, by field; `""` for data without fields.

    They come from the training data, or from the folders of a finished run (`load`).
    """

    def __init__(self) -> None:
        self.tables: dict[str, TableEncoder] = {}
        self.audio: dict[str, AudioOptions] = {}

    def learn(self, train: Items) -> None:
        """Learns from training items as they are stored. Encoders that are known stay."""
        for name, part in fields_of(train).items():
            if isinstance(part.storage, SpectrogramStorage):
                self.audio[name] = part.storage.options
            if isinstance(part.storage, TableStorage) and name not in self.tables:
                self.tables[name] = TableEncoder.fit(part)

    def load(self, folder: Path, field: str | None) -> None:
        """Reads what was kept with a model; a field that is known stays."""
        name = WHOLE if field is None else field
        if name not in self.tables and (folder / TABLE_FILE).exists():
            self.tables[name] = TableEncoder.load(folder)
        if name not in self.audio and (folder / AUDIO_FILE).exists():
            self.audio[name] = AudioOptions.load(folder)

    def lacks(self, items: Items) -> bool:
        """Whether these items hold a table whose encoder is not known yet."""
        return any(
            isinstance(part.storage, TableStorage) and name not in self.tables for name, part in fields_of(items).items()
        )

    def encode(self, items: Items, data: str) -> Items:
        """Returns items with rows of tables as vectors."""
        if isinstance(items.storage, TableStorage):
            if WHOLE not in self.tables:
                raise ValueError(
                    f"{data}: it is read as a table, and the training data is none; give data of its kind, or name the "
                    "column that holds the inputs (input: …)"
                )
            return self.tables[WHOLE](items, data)
        for name, part in fields_of(items).items():
            if isinstance(part.storage, TableStorage):
                encoder = self.tables[name]
                items = map_field(items, name, lambda rows, encoder=encoder: encoder(rows, data))  # type: ignore[misc]
        return items

    def complete(self, spec: DatasetSpec, train: DatasetSpec) -> DatasetSpec:
        """Returns a data set with the columns, fields and options of the training data."""
        changes: dict[str, Any] = {}
        if WHOLE in self.tables:
            changes["table"] = _named_columns(spec, train, self.tables[WHOLE])
        if WHOLE in self.audio:
            changes["audio"] = _same_spectrograms(spec, self.audio[WHOLE])
        fields = spec.fields
        if train.fields is not None and fields is None and spec.input is None:
            fields = train.fields
            changes |= {
                "size": spec.size or train.size,
                "channels": train.channels,
                "audio": spec.audio or train.audio,
                "missing": train.missing,
            }
        if fields is not None:
            changes["fields"] = {name: self._complete_field(name, field, spec) for name, field in fields.items()}
        return spec.model_copy(update=changes) if changes else spec

    def _complete_field(
        self, name: str, field: Mapping[str, Mapping[str, Any]], spec: DatasetSpec
    ) -> dict[str, dict[str, Any]]:
        """Returns the modality of a field with the options that it had in the training data."""
        ((modality, given),) = field.items()
        options = dict(given)
        if name in self.tables:
            columns = self.tables[name].columns
            options |= {"numeric": columns.numeric, "categorical": columns.categorical, "exclude": ()}
        if name in self.audio:
            own = spec.audio
            options |= asdict(self.audio[name]) | ({} if own is None else {"resample": own.resample})
        return {modality: options}


def fields_of(items: Items) -> dict[str, Items]:
    """Returns the fields of items by name; items without fields have the name ""."""
    return dict(items.storage.fields) if isinstance(items.storage, FieldStorage) else {WHOLE: items}


def _named_columns(spec: DatasetSpec, train: DatasetSpec, encoder: TableEncoder) -> TableSpec:
    """Returns the columns that the encoder reads, with the options of the data set or else of the training data."""
    own, columns = spec.table or train.table or TableSpec.model_validate({}), encoder.columns
    return own.model_copy(update={"numeric": columns.numeric, "categorical": columns.categorical, "exclude": ()})


def _same_spectrograms(spec: DatasetSpec, audio: AudioOptions) -> AudioSpec:
    """Returns the options of the training data. Only `resample` may be another for other data."""
    own, same = spec.audio, AudioSpec(**asdict(audio))
    if own is None:
        return same
    same = same.model_copy(update={"resample": own.resample})
    for name in type(own).model_fields:
        if getattr(own, name) not in (getattr(same, name), default_of(AudioOptions, name)):  # a written recipe holds defaults
            raise RecipeError(
                f"data: {spec.path}: audio.{name} is {getattr(own, name)!r}, and the training data has "
                f"{getattr(same, name)!r}; leave it out, the model expects spectrograms of one kind"
            )
    return same
