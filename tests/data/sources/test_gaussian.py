"""Plain noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.core.source import BatchPosition, source
from limbeck.data.sources.gaussian import Gaussian


def inputs(noise: Any, position: BatchPosition) -> Tensor:
    found = noise.batch(position).inputs["default"]
    assert isinstance(found, Tensor)
    return found


def test_numbers_have_the_given_mean_and_deviation() -> None:
    x = inputs(Gaussian([2, 50, 50], batch_size=20, mean=3, std=2, low=None, high=None), BatchPosition(0))
    assert x.shape == (20, 2, 50, 50)
    assert float(x.mean()) == pytest.approx(3, abs=0.02)
    assert float(x.std()) == pytest.approx(2, abs=0.02)


def test_numbers_are_cut_to_the_bounds() -> None:
    x = inputs(Gaussian(1000), BatchPosition(0))
    assert float(x.min()) == 0
    assert float(x.max()) == 1


def test_a_batch_depends_on_seed_and_step_and_parts_make_it_up() -> None:
    noise = Gaussian([4], batch_size=8)
    whole = inputs(noise, BatchPosition(3, seed=5))
    assert torch.equal(whole, inputs(Gaussian([4], batch_size=8), BatchPosition(3, seed=5)))
    assert not torch.equal(whole, inputs(noise, BatchPosition(4, seed=5)))
    parts = [inputs(noise, BatchPosition(3, seed=5, part=part, parts=2)) for part in range(2)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": [3, 0]}, r"shape is \[3, 0\]"),
        ({"shape": []}, r"shape is \[\]"),
        ({"shape": 4, "batch_size": 0}, "batch_size is 0"),
        ({"shape": 4, "std": 0}, "std is 0"),
        ({"shape": 4, "low": 1, "high": 0}, "low is 1 and high is 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source({"gaussian": arguments})
