"""`TableEncoder`: turns the columns of a table into vectors, with statistics learned from the training rows."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.loading.cells import FLOAT32_MAX
from limbeck.data.storage import TensorStorage
from limbeck.data.table.columns import TableColumns
from limbeck.data.table.storage import Categories, TableStorage
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.json_files import read_json

FORMAT = 1
FILE_NAME = "table.json"


@dataclass(frozen=True)
class NumericColumn:
    """Statistics of a numeric column over the training rows.

    Attributes:
        median: stands for a missing value.
        mean, std: of the values after imputation; std is 1 for a column of one value.
        flag: whether a 0/1 flag for missing values follows, because the training rows have some.
    """

    name: str
    median: float
    mean: float
    std: float
    flag: bool


@dataclass(frozen=True)
class CategoricalColumn:
    """The categories of a column in the training rows, sorted.

    Attributes:
        mode: stands for a missing value; the first of the most frequent categories.
        flag: whether a 0/1 flag for missing values follows, because the training rows have some.
    """

    name: str
    categories: tuple[str, ...]
    mode: str
    flag: bool


class EncodedTable(TensorStorage):
    """The vectors of a table, with the encoder that made them."""

    modality = "table"

    def __init__(self, inputs: Tensor, encoder: TableEncoder) -> None:
        super().__init__(inputs)
        self.encoder = encoder

    def identity(self) -> str:
        """Hash of everything that the vectors of a row depend on, besides its values."""
        return self.encoder.identity()


@dataclass(frozen=True)
class TableEncoder:
    """Rows of a table → float32 vectors `[N, D]`.

    A numeric column becomes (x − mean) / std, where a missing x is the median; a categorical one becomes a one-hot vector,
    where a missing value is the most frequent category. Each is followed by a 0/1 flag for missing values if the training rows
    have some. All statistics come from the rows given to `fit`. A category that those rows lack is encoded as zeros.

        encoder = TableEncoder.fit(train)          # train: Items of load_items("train.csv")
        train, test = encoder(train), encoder(test)
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]

    @classmethod
    def fit(cls, items: Items) -> TableEncoder:
        """Learns the statistics from these items.

        Raises:
            ValueError: items that are no rows of a table; a column without any value.
        """
        rows = _rows_of(items)
        return cls(
            tuple(_fit_numeric(name, values) for name, values in rows.numeric.items()),
            tuple(_fit_categorical(name, values) for name, values in rows.categorical.items()),
        )

    def __call__(self, items: Items, data: str = "data") -> Items:
        """The same items as vectors. Keys and labels stay the same.

        Args:
            data: what warnings and errors call these items.
        """
        rows = _rows_of(items)
        missing = {*(each.name for each in self.numeric), *(each.name for each in self.categorical)} - {
            *rows.numeric,
            *rows.categorical,
        }
        if missing:
            raise ValueError(f"{data}: column {min(missing)!r} of the training data is missing")
        for columns, own, kinds in (
            (self.numeric, rows.numeric, ("numbers", "texts")),
            (self.categorical, rows.categorical, ("texts", "numbers")),
        ):
            if other := sorted({each.name for each in columns} - {*own}):
                raise ValueError(
                    f"{data}: column {other[0]!r} holds {kinds[0]} in the training data, and {kinds[1]} here; make both "
                    "alike, or name the kind of the column (table: {numeric: […], categorical: […]})"
                )
        parts: list[Tensor] = []
        for number in self.numeric:
            parts += _encode_numeric(number, rows.numeric[number.name], data)
        for category in self.categorical:
            parts += _encode_categorical(category, rows.categorical[category.name], data)
        return items.with_storage(EncodedTable(torch.stack(parts, 1).to(torch.float32), self))

    @property
    def columns(self) -> TableColumns:
        """The columns that it reads."""
        return TableColumns(tuple(each.name for each in self.numeric), tuple(each.name for each in self.categorical))

    @property
    def names(self) -> list[str]:
        """What each number of a vector is: `age`, `age is missing`, `hospital=va`, …"""
        names = []
        for each in self.numeric:
            names += [each.name, *([f"{each.name} is missing"] if each.flag else [])]
        for column in self.categorical:
            names += [f"{column.name}={category}" for category in column.categories]
            names += [f"{column.name} is missing"] if column.flag else []
        return names

    def identity(self) -> str:
        """Hash of the columns and their statistics."""
        return "table " + hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    # --- as a file ---------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The columns with their statistics; floats keep their exact value."""
        content = {
            "format": FORMAT,
            "numeric": [asdict(each) for each in self.numeric],
            "categorical": [asdict(each) for each in self.categorical],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def save(self, folder: str | Path) -> None:
        """Writes `table.json` into the folder, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(folder) / FILE_NAME, self.to_json().encode())

    @classmethod
    def load(cls, folder: str | Path) -> TableEncoder:
        """Reads what `save` wrote.

        Raises:
            ValueError: a file of another format.
        """
        path = Path(folder) / FILE_NAME
        try:
            content: Any = read_json(path)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}")
            return cls(
                tuple(NumericColumn(**each) for each in content["numeric"]),
                tuple(CategoricalColumn(**each | {"categories": tuple(each["categories"])}) for each in content["categorical"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected the columns of a table in format {FORMAT}, found {error}") from error


def encode_tables(train: Items, test: Items, validation: Items | None = None) -> tuple[Items, Items, Items | None]:
    """Rows of tables as vectors, with the statistics of the training rows; items of another kind are unchanged."""
    if not isinstance(train.storage, TableStorage):
        return train, test, validation
    encoder = TableEncoder.fit(train)
    return encoder(train), encoder(test, "test data"), validation and encoder(validation, "validation data")


def _rows_of(items: Items) -> TableStorage:
    if not isinstance(items.storage, TableStorage):
        raise ValueError(f"items: expected rows of a table, as load_items returns them, found {type(items.storage).__name__}")
    return items.storage


def _fit_numeric(name: str, values: Tensor) -> NumericColumn:
    known = values[~values.isnan()]
    if not len(known):
        raise ValueError(f"table: column {name!r} has no value in the training rows; leave it out: exclude: [{name}]")
    median = float(np.median(known.numpy()))
    filled = values.nan_to_num(nan=median).numpy()
    spread = float(filled.std())
    scale = spread if spread > 1e-12 * max(1.0, abs(float(filled.mean()))) else 1.0
    return NumericColumn(name, median, float(filled.mean()), scale, len(known) < len(values))


def _fit_categorical(name: str, values: Categories) -> CategoricalColumn:
    known = [value for value in values if value is not None]
    if not known:
        raise ValueError(f"table: column {name!r} has no value in the training rows; leave it out: exclude: [{name}]")
    found, counts = np.unique(np.array(known, dtype=str), return_counts=True)
    categories = tuple(str(value) for value in found)
    return CategoricalColumn(name, categories, categories[int(counts.argmax())], len(known) < len(values))


def _encode_numeric(column: NumericColumn, values: Tensor, data: str) -> list[Tensor]:
    missing = values.isnan()
    _warn_unflagged(column, int(missing.sum()), data, f"the median {column.median:g}")
    scaled = (values.nan_to_num(nan=column.median) - column.mean) / column.std
    if bool((wrong := scaled.abs() > FLOAT32_MAX).any()):
        row = int(wrong.int().argmax())
        raise ValueError(
            f"{data}: column {column.name!r}: row {row} of these items holds {float(values[row]):g}, {float(scaled[row]):.2g} "
            "standard deviations of the training rows from their mean, which is infinite in float32; correct the value, or "
            "leave the cell empty if it is missing"
        )
    return [scaled, missing.double()] if column.flag else [scaled]


def _encode_categorical(column: CategoricalColumn, values: Categories, data: str) -> list[Tensor]:
    missing = torch.tensor([value is None for value in values])
    _warn_unflagged(column, int(missing.sum()), data, f"the most frequent value {column.mode!r}")
    index = {category: number for number, category in enumerate(column.categories)}
    codes = torch.tensor([index.get(column.mode if value is None else value, -1) for value in values])
    unknown = sorted({value for value in values if value is not None and value not in index})
    if unknown:
        count = int((codes < 0).sum())
        warnings.warn(
            f"{data}: column {column.name!r}: {count:,} rows hold a category that the training rows lack ({unknown[0]!r}); "
            "they are encoded as zeros",
            stacklevel=4,
        )
    onehot = [(codes == number).double() for number in range(len(column.categories))]
    return [*onehot, missing.double()] if column.flag else onehot


def _warn_unflagged(column: NumericColumn | CategoricalColumn, count: int, data: str, value: str) -> None:
    if count and not column.flag:
        warnings.warn(
            f"{data}: column {column.name!r}: {count:,} values are missing, as in no training row; {value} stands for them",
            stacklevel=5,
        )
