from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.teacher_cache.codecs.bit_packing import bits_for, pack, packed_bytes, unpack


@settings(deadline=None)
@given(st.integers(1, 56), st.integers(0, 9), st.integers(1, 20), st.integers(0, 2**32))
def test_unpack_inverts_pack(width: int, rows: int, count: int, seed: int) -> None:
    values = torch.randint(0, 2**width, (rows, count), generator=torch.Generator().manual_seed(seed))
    packed = pack(values, width)
    assert packed.shape == (rows, packed_bytes(count, width))
    assert torch.equal(unpack(packed, count, width), values)


@settings(deadline=None)
@given(st.integers(1, 18), st.integers(1, 12), st.integers(0, 2**32))
def test_the_documented_numpy_line_unpacks(width: int, k: int, seed: int) -> None:
    values = torch.randint(0, 2**width, (1, k), generator=torch.Generator().manual_seed(seed))
    row = pack(values, width)[0].numpy()
    read = np.unpackbits(row, bitorder="little")[: k * width].reshape(k, width) @ (1 << np.arange(width))
    assert read.tolist() == values[0].tolist()


@pytest.mark.parametrize("width", range(1, 57))
def test_the_largest_integers_stay_in_their_bits(width: int) -> None:
    values = torch.tensor([[2**width - 1, 0, 2**width - 1]])
    assert torch.equal(unpack(pack(values, width), 3, width), values)


@pytest.mark.parametrize(
    ("count", "bits"), [(1, 1), (2, 1), (3, 2), (10, 4), (1000, 10), (1024, 10), (1025, 11), (151_936, 18)]
)
def test_the_fewest_bits(count: int, bits: int) -> None:
    assert bits_for(count) == bits


@pytest.mark.parametrize("width", [0, 57])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="1 to 56 bits"):
        pack(torch.zeros(1, 1, dtype=torch.int64), width)
