"""Channel counts of the mobile networks."""

import pytest

from limbeck.models.architectures.blocks import divisible


@pytest.mark.parametrize(("value", "expected"), [(16, 16), (5.6, 8), (72 / 4, 24), (11, 16), (92, 96), (90, 88)])
def test_channels_are_multiples_of_eight_never_a_tenth_below(value, expected):
    assert divisible(value) == expected
