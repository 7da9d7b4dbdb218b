"""Reads map-style data sets of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limbeck.data.image.decode import to_array

if TYPE_CHECKING:
    from torch.utils.data import Dataset


def read_torch_dataset(dataset: Dataset[Any]) -> tuple[Tensor, list[int]]:
    """All inputs, stacked, and labels of a data set of (input, label).

    Args:
        dataset: map-style; its inputs are tensors, arrays or Pillow images of one shape.

    Raises:
        ValueError: an empty data set; an item that is not a pair; inputs of different shapes.
    """
    inputs: list[Tensor] = []
    labels: list[int] = []
    for row in range(len(dataset)):  # type: ignore[arg-type]
        item = dataset[row]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(f"row {row}: expected a pair (input, label), found {type(item).__name__}")
        inputs.append(_as_tensor(item[0]))
        labels.append(int(item[1]))
        if inputs[-1].shape != inputs[0].shape:
            raise ValueError(
                f"row {row}: shape {list(inputs[-1].shape)} differs from {list(inputs[0].shape)} in row 0; "
                "let the data set resize its items to one shape"
            )
    if not inputs:
        raise ValueError("the data set is empty")
    return torch.stack(inputs), labels


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "getbands"):  # a Pillow image
        return torch.from_numpy(to_array(value, None, None))
    return torch.as_tensor(value)
