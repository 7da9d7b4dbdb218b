"""The codec of dense tensors."""

from __future__ import annotations

import pytest
import torch

from limbeck.teacher_cache import Dense, SignalError
from tests.teacher_cache import examples

SHAPES = [(0, 3), (1,), (4, 1), (5, 7), (2, 3, 4), (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_dense_is_a_cast(shape: tuple[int, ...], precision: str, dtype: torch.dtype) -> None:
    x = torch.randn(shape) * 8
    assert torch.equal(examples.roundtrip(Dense(precision), x), x.to(dtype).float())  # type: ignore[arg-type]


def test_dense_keeps_a_copy() -> None:
    x = torch.ones(2, 3)
    table = Dense("fp32").encode(x)
    x.zero_()
    assert table.columns["values"].sum() == 6


def test_values_above_half_precision_are_refused() -> None:
    x = torch.zeros(3, 2)
    x[1, 1] = 70_000.0
    with pytest.raises(SignalError, match=r"fp16 cannot hold.*bf16 or fp32") as caught:
        Dense("fp16").encode(x)
    assert caught.value.row == 1
    assert examples.roundtrip(Dense("bf16"), x)[1, 1] == pytest.approx(70_000, rel=0.01)
