"""Positions of batches: parts of a global batch, and generators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.core.source import BatchPosition


@given(st.integers(1, 6), st.integers(0, 5))
def test_parts_make_up_the_global_batch(parts: int, size: int) -> None:
    rows = torch.arange(parts * size)
    pieces = [BatchPosition(0, part=part, parts=parts).part_of(rows) for part in range(parts)]
    assert torch.equal(torch.cat(pieces), rows)
    assert {len(piece) for piece in pieces} == {size}


def test_batches_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8 items cannot be cut into 3 equal parts .*multiple of 3"):
        BatchPosition(0, parts=3).part_of(torch.zeros(8))


def test_generators_depend_on_seed_step_and_stream_and_not_on_the_part() -> None:
    def draw(position: BatchPosition, stream: str = "noise") -> float:
        return float(torch.rand(1, dtype=torch.float64, generator=position.random_generator(stream)))

    base = draw(BatchPosition(3, seed=5))
    assert draw(BatchPosition(3, seed=5, part=1, parts=2)) == base
    others = [draw(BatchPosition(4, seed=5)), draw(BatchPosition(3, seed=6)), draw(BatchPosition(3, seed=5), "samples")]
    assert len({base, *others}) == 4
