"""Uniform noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.core.source import BatchPosition, source
from limbeck.data.sources import Uniform


def inputs(noise: Uniform, position: BatchPosition) -> Tensor:
    found = noise.batch(position).inputs["default"]
    assert isinstance(found, Tensor)
    return found


def test_numbers_fill_the_range_evenly() -> None:
    x = inputs(Uniform([2, 50, 50], batch_size=20, low=-2, high=2), BatchPosition(0))
    assert x.shape == (20, 2, 50, 50)
    assert float(x.min()) >= -2
    assert float(x.max()) <= 2
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    assert float(x.var()) == pytest.approx(4 / 3, abs=0.03)


def test_a_batch_depends_on_seed_and_step_and_parts_make_it_up() -> None:
    noise = Uniform(4, batch_size=8)
    whole = inputs(noise, BatchPosition(3, seed=5))
    assert torch.equal(whole, inputs(Uniform([4], batch_size=8), BatchPosition(3, seed=5)))
    assert not torch.equal(whole, inputs(noise, BatchPosition(4, seed=5)))
    parts = [inputs(noise, BatchPosition(3, seed=5, part=part, parts=2)) for part in range(2)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": [3, 0]}, r"shape is \[3, 0\]"),
        ({"shape": 4, "batch_size": 0}, "batch_size is 0"),
        ({"shape": 4, "low": 1, "high": 0}, "low is 1 and high is 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source({"uniform": arguments})
