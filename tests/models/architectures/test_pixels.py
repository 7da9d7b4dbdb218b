"""Images whose pixels are parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import models


def test_rows_are_images_between_the_bounds(tmp_path: Path) -> None:
    bank = models.pixels(count=6, shape=[3, 4, 5], low=-1, high=2)
    images = bank(torch.tensor([5, 0, 5]))
    assert images.shape == (3, 3, 4, 5)
    torch.testing.assert_close(images[0], images[2])
    assert bool((images > -1).all())
    assert bool((images < 2).all())
    assert models.count_parameters(bank) == 6 * 3 * 4 * 5
    models.save_model(bank, None, tmp_path / "bank")
    assert torch.equal(models.load_model(tmp_path / "bank")(torch.tensor([1])), bank(torch.tensor([1])))


def test_only_the_images_of_a_batch_get_a_gradient() -> None:
    bank = models.pixels(count=4, shape=[2])
    bank(torch.tensor([1, 3])).sum().backward()
    assert bank.values.grad is not None
    assert bank.values.grad.ne(0).any(1).tolist() == [False, True, False, True]


def test_noise_in_place_of_rows_and_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch.float32 of shape \[2, 100\]; give the source that reads them rows: 4"):
        models.pixels(count=4, shape=[2])(torch.randn(2, 100))
    with pytest.raises(ValueError, match=r"shape\[1\] must be at least 1"):
        models.pixels(count=4, shape=[3, 0])
    with pytest.raises(ValueError, match=r"low is 1 and high is 1"):
        models.pixels(count=4, shape=[3], low=1, high=1)
