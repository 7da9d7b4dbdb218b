"""`digits`: the 1,797 handwritten digits of scikit-learn, 8×8 pixels; this data set needs no download."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.items import Items


def digit_images() -> tuple[NDArray[np.uint8], Tensor]:
    """Images `[N, 8, 8]`, their 17 grey values scaled to 0 to 255, and labels `[N]`."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return np.round(raw.images * 255 / 16).astype(np.uint8), torch.from_numpy(raw.target).to(torch.int64)


def select_split(items: Items, split: str | None) -> Items:
    """The items of a split, chosen by content: "train" is two thirds of every class, "test" the rest, None all."""
    if split is None:
        return items
    train, test = items.split(2 / 3, seed=0)
    splits = {"train": train, "test": test}
    if split not in splits:
        raise ValueError(f"split={split!r}: digits has the splits train and test")
    return splits[split]
