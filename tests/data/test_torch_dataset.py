"""Data sets of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from limbeck.data import Items


def test_from_torch_dataset() -> None:
    inputs, labels = torch.rand(5, 3, 4, 4), torch.arange(5)
    items = Items.from_torch_dataset(TensorDataset(inputs, labels))
    assert torch.equal(items.fetch(torch.arange(5)), inputs)
    assert items.images
    assert items.classes == 5
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    pictures = Items.from_torch_dataset([(picture, 1), (picture.convert("RGBA"), 0)])  # type: ignore[arg-type]
    assert pictures.fetch(torch.tensor([0])).shape == (1, 3, 4, 4)
    assert pictures.keys[0] == pictures.keys[1]


def test_items_that_are_not_pairs_of_one_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="row 0: expected a pair"):
        Items.from_torch_dataset([torch.rand(3)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"row 1: shape \[4\] differs"):
        Items.from_torch_dataset([(torch.rand(3), 0), (torch.rand(4), 0)])  # type: ignore[arg-type]
