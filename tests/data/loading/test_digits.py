"""The digits of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.data import load_items
from limbeck.data.table.columns import TableOptions
from tests.data.loading.files import everything, targets


def test_digits() -> None:
    whole = load_items("digits")
    assert everything(whole).shape == (1797, 1, 8, 8)
    assert everything(whole).dtype == torch.uint8
    from sklearn.datasets import load_digits

    raw = load_digits()
    assert torch.equal(everything(whole)[:, 0], torch.from_numpy(np.round(raw.images * 255 / 16)).to(torch.uint8))
    assert targets(whole) == raw.target.tolist()
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    assert (len(train), len(test)) == (1198, 599)
    assert not set(train.keys.tolist()) & set(test.keys.tolist())
    assert load_items("digits", size=16, channels=3).fetch(torch.arange(2)).shape == (2, 3, 16, 16)
    without = load_items("digits", split="train", label=False)
    assert without.target is None
    assert torch.equal(without.keys, train.keys)
    with pytest.raises(ValueError, match="digits has the splits train and test"):
        load_items("digits", split="validation")


@pytest.mark.parametrize("options", [{"input": "pixels"}, {"label": "class"}, {"label": ["a", "b"]}, {"table": TableOptions()}])
def test_options_of_columns_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=rf"{name}(=\S.*)?: digits has no columns; leave it out"):
        load_items("digits", **options)
