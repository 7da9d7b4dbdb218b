"""The codec with one byte for each number."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.teacher_cache import ScaledInt8, StoreError
from tests.teacher_cache import examples


@settings(deadline=None)
@given(st.sampled_from([(3, 9), (3, 5, 4), (2, 3, 4, 5), (1, 1), (2, 6, 1, 1)]), st.floats(1e-20, 1e20), st.integers(0, 2**32))
def test_int8_is_within_half_a_step_of_each_scale(shape: tuple[int, ...], size: float, seed: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
    within = {2: 1, 3: 1}.get(len(shape), (2, 3))
    step = x.abs().amax(within, keepdim=True) / 127
    assert bool(((examples.roundtrip(ScaledInt8(), x) - x).abs() <= 0.50001 * step).all())


def test_int8_scales_per_channel_of_a_map_and_of_tokens_and_per_item_of_a_vector() -> None:
    for shape, scales in (((2, 3, 4, 5), (2, 3, 1, 1)), ((2, 7, 3), (2, 1, 3)), ((2, 9), (2, 1))):
        assert ScaledInt8().encode(torch.randn(shape)).columns["scale"].shape == scales


def test_int8_of_zeros_and_of_an_empty_batch() -> None:
    assert torch.equal(examples.roundtrip(ScaledInt8(), torch.zeros(2, 3, 4, 4)), torch.zeros(2, 3, 4, 4))
    assert examples.roundtrip(ScaledInt8(), torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    with pytest.raises(StoreError, match="use Dense"):
        ScaledInt8().encode(torch.zeros(3))
