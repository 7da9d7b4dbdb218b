"""Conversion to floats, and the check of fractions."""

from __future__ import annotations

import pytest
import torch

from limbeck.data.image.transform import check_fraction, to_float


def test_uint8_becomes_float_in_the_unit_range() -> None:
    images = torch.arange(256, dtype=torch.uint8)
    floats = to_float(images)
    assert floats.dtype == torch.float32
    assert torch.equal((floats * 255).round().to(torch.uint8), images)
    assert (floats[0], floats[255]) == (0, 1)
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_other_types_stay_as_they_are(dtype: torch.dtype) -> None:
    images = torch.tensor([0, 1]).to(dtype)
    assert to_float(images) is images


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_fractions_out_of_range_are_named(value: float) -> None:
    assert check_fraction("p", 0.25) == 0.25
    with pytest.raises(ValueError, match=f"p={value}: expected a number from 0 to 1"):
        check_fraction("p", value)
