"""`TableStorage`: rows of a table as they are in the file, before their columns become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.storage import Storage

ROWS = 4096  # that are hashed at once: their values as bytes take several times the memory of the values
Categories = NDArray[np.object_]
"""The values of a categorical column: strings, None where the value is missing."""


class TableStorage(Storage):
    """Numeric and categorical columns by name; `TableEncoder` turns them into vectors.

    Attributes:
        numeric: float64 `[N]` for each numeric column, NaN where the value is missing.
        categorical: strings `[N]` for each categorical column, None where the value is missing.
    """

    modality = "table"

    def __init__(self, numeric: Mapping[str, Tensor], categorical: Mapping[str, Categories]) -> None:
        if not numeric and not categorical:
            raise ValueError("table: expected at least one numeric or categorical column")
        self.numeric, self.categorical = dict(numeric), dict(categorical)

    def __len__(self) -> int:
        for numbers in self.numeric.values():
            return len(numbers)
        return len(next(iter(self.categorical.values())))

    def fetch(self, rows: Tensor) -> Any:
        raise ValueError(
            "models do not read the rows of a table; turn them into vectors first: encoder = TableEncoder.fit(train), then "
            "encoder(train), encoder(test)"
        )

    def select(self, rows: Tensor) -> TableStorage:
        chosen = rows.numpy()
        return TableStorage(
            {name: values[rows] for name, values in self.numeric.items()},
            {name: values[chosen] for name, values in self.categorical.items()},
        )

    def keys(self) -> Tensor:
        """One content key for each row, int64 `[N]`: a hash of its values in order of the columns' names."""
        return torch.cat([self._keys(slice(first, first + ROWS)) for first in range(0, max(len(self), 1), ROWS)])

    def _keys(self, rows: slice) -> Tensor:
        parts: list[list[bytes]] = []
        for name in sorted([*self.numeric, *self.categorical]):
            if name in self.numeric:
                values = self.numeric[name][rows]
                values = torch.where(values.isnan(), torch.nan, values)  # one NaN for all
                parts.append([value.tobytes() for value in values.numpy()])
            else:
                parts.append([b"\xfe" if value is None else value.encode() + b"\xff" for value in self.categorical[name][rows]])
        return as_keys(content_key(*row) for row in zip(*parts, strict=True))
