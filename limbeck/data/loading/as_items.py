"""`as_items`: `Items` from what users have at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.loading.load import load_items


def as_items(data: Any) -> Items:
    """Returns `Items` from items, a path or name, a pair of tensors (inputs, labels), or a map-style data set."""
    if isinstance(data, Items):
        return data
    if isinstance(data, str | Path):
        return load_items(data)
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor):
        return Items.from_tensors(data[0], data[1])
    return Items.from_torch_dataset(data)
