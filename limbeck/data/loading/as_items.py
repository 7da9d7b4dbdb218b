"""`as_items`: `Items` from what users have at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from limbeck.data.items import Items
from limbeck.data.loading.load import load_items
from limbeck.data.loading.objects import FORMS, is_table


def as_items(data: Any) -> Items:
    """Returns `Items` from items, a path or name, a pair (inputs, labels) of tensors or arrays, a table in memory, or a
    map-style data set.

    Raises:
        ValueError: something else; the message says what to hand over.
    """
    if isinstance(data, Items):
        return data
    if isinstance(data, str | Path) or is_table(data):
        return load_items(data)
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor | np.ndarray):
        return Items.from_tensors(*(_as_tensor(part) for part in data))
    if isinstance(data, DataLoader):
        raise ValueError("a DataLoader is no data set; hand over its data set (loader.dataset): the run makes the batches")
    if isinstance(data, IterableDataset | Mapping) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise ValueError(
            f"data: {type(data).__name__} cannot be read as items; hand over {FORMS}, a pair (inputs, labels), a map-style "
            "data set, or limbeck.data.Items.from_tensors(inputs, labels)"
        )
    return Items.from_torch_dataset(data)


def _as_tensor(part: Any) -> Any:
    """Arrays as tensors; of texts as lists."""
    if not isinstance(part, np.ndarray):
        return part
    return part.tolist() if part.dtype.kind in "OSU" else torch.as_tensor(part)
