"""Handwritten digits with attributes instead of classes: real pixels, several labels of each item."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

ATTRIBUTES = {
    "even": {0, 2, 4, 6, 8},
    "above four": {5, 6, 7, 8, 9},
    "has a loop": {0, 6, 8, 9},
    "prime": {2, 3, 5, 7},
    "square": {0, 1, 4, 9},
}


def write_digits(folder, *, columns: bool = False, train: int = 900) -> None:
    """Writes `train.parquet` and `test.parquet`: pixels [64] in [0, 1], and attributes as lists or as columns of 0 and 1."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    for name, rows in (("train", order[:train]), ("test", order[1000:])):
        pixels, digits = data.data[rows] / 16, data.target[rows]
        if columns:
            labels = {name: [int(digit in members) for digit in digits] for name, members in ATTRIBUTES.items()}
        else:
            labels = {"label": [[name for name, members in ATTRIBUTES.items() if digit in members] for digit in digits]}
        pq.write_table(pa.table({"x": list(pixels.astype(np.float32)), **labels}), folder / f"{name}.parquet")
