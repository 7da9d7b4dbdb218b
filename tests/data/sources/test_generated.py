"""Noise for a generator."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.source import BatchPosition
from limbeck.data.sources.generated import Generated


def test_noise_depends_on_the_position_only():
    source, again = Generated("g", batch_size=8, noise=(2, 3)), Generated("g", batch_size=8, noise=(2, 3))
    torch.manual_seed(1)
    first = source.batch(BatchPosition(3, seed=5)).inputs["default"]
    torch.manual_seed(2)
    assert torch.equal(first, again.batch(BatchPosition(3, seed=5)).inputs["default"])
    assert first.shape == (8, 2, 3)
    assert not torch.equal(first, source.batch(BatchPosition(4, seed=5)).inputs["default"])
    assert not torch.equal(first, source.batch(BatchPosition(3, seed=6)).inputs["default"])


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_make_up_the_global_batch(parts):
    source = Generated("g", batch_size=8, noise=3)
    whole = source.batch(BatchPosition(0)).inputs["default"]
    pieces = [source.batch(BatchPosition(0, part=part, parts=parts)).inputs["default"] for part in range(parts)]
    assert torch.equal(torch.cat(pieces), whole)


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        Generated("g", batch_size=0)


def test_rows_of_a_bank_come_without_repetition_and_with_labels() -> None:
    source = Generated("images", batch_size=8, rows=20, classes=3)
    batch = source.batch(BatchPosition(2, seed=5))
    rows = batch.inputs["default"]
    assert rows.dtype == torch.int64
    assert len(set(rows.tolist())) == 8
    assert torch.equal(batch.target, rows % 3)
    assert torch.equal(rows, source.batch(BatchPosition(2, seed=5)).inputs["default"])
    parts = [source.batch(BatchPosition(2, seed=5, part=part, parts=2)) for part in range(2)]
    assert torch.equal(torch.cat([part.inputs["default"] for part in parts]), rows)
    assert Generated("images", batch_size=8, rows=20).batch(BatchPosition(0)).target is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 7}, "rows is 7; expected at least those of one batch, 8"),
        ({"classes": 10}, "classes is 10"),
        ({"rows": 8, "classes": 0}, "classes is 0"),
        ({"noise": [4, 0]}, r"noise is \[4, 0\]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Generated("images", batch_size=8, **arguments)
