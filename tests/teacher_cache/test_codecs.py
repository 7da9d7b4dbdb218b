from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.teacher_cache import Codec, Dense, RaggedTopK, ScaledInt8, SignalError, StoreError, Tokens, TopKCodec
from limbeck.teacher_cache.codecs import codec_from
from limbeck.teacher_cache.codecs.row_table import RowTable

SHAPES = [(0, 3), (1,), (4, 1), (5, 7), (2, 3, 4), (2, 3, 4, 5)]


def through(codec: Codec, signal: torch.Tensor) -> torch.Tensor:
    """Encoded, made plain tensors as in a file, and read again."""
    decoded = codec.decode(RowTable.from_tensors(codec.encode(signal).tensors()))
    assert isinstance(decoded, torch.Tensor)
    return decoded


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_dense_is_the_cast_and_no_more(shape: tuple[int, ...], precision: str, dtype: torch.dtype) -> None:
    x = torch.randn(shape) * 8
    assert torch.equal(through(Dense(precision), x), x.to(dtype).float())  # type: ignore[arg-type]


def test_dense_keeps_a_copy() -> None:
    x = torch.ones(2, 3)
    table = Dense("fp32").encode(x)
    x.zero_()
    assert table.columns["values"].sum() == 6


@settings(deadline=None)
@given(st.sampled_from([(3, 9), (3, 5, 4), (2, 3, 4, 5), (1, 1), (2, 6, 1, 1)]), st.floats(1e-20, 1e20), st.integers(0, 2**32))
def test_int8_is_within_half_a_step_of_each_scale(shape: tuple[int, ...], size: float, seed: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
    within = {2: 1, 3: 1}.get(len(shape), (2, 3))
    step = x.abs().amax(within, keepdim=True) / 127
    assert bool(((through(ScaledInt8(), x) - x).abs() <= 0.50001 * step).all())


def test_int8_scales_per_channel_of_a_map_and_of_tokens_and_per_item_of_a_vector() -> None:
    for shape, scales in (((2, 3, 4, 5), (2, 3, 1, 1)), ((2, 7, 3), (2, 1, 3)), ((2, 9), (2, 1))):
        assert ScaledInt8().encode(torch.randn(shape)).columns["scale"].shape == scales


def test_int8_of_zeros_and_of_nothing() -> None:
    assert torch.equal(through(ScaledInt8(), torch.zeros(2, 3, 4, 4)), torch.zeros(2, 3, 4, 4))
    assert through(ScaledInt8(), torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    with pytest.raises(StoreError, match="use Dense"):
        ScaledInt8().encode(torch.zeros(3))


@pytest.mark.parametrize("codec", [Dense("fp16"), Dense("bf16"), Dense("fp32"), ScaledInt8()])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_by_row(codec: Codec, bad: float) -> None:
    x = torch.randn(5, 4)
    x[3, 2] = bad
    with pytest.raises(SignalError, match="NaN or infinity") as caught:
        codec.encode(x)
    assert caught.value.row == 3


def test_what_half_precision_cannot_hold_is_refused() -> None:
    x = torch.zeros(3, 2)
    x[1, 1] = 70_000.0
    with pytest.raises(SignalError, match=r"fp16 cannot hold.*bf16 or fp32") as caught:
        Dense("fp16").encode(x)
    assert caught.value.row == 1
    assert through(Dense("bf16"), x)[1, 1] == pytest.approx(70_000, rel=0.01)


@pytest.mark.parametrize("signal", [torch.zeros(3, dtype=torch.int64), (torch.zeros(3),), torch.tensor(1.0)])
def test_other_kinds_of_signal_are_refused(signal: object) -> None:
    with pytest.raises(StoreError, match="expected a floating-point tensor"):
        Dense().encode(signal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "codec", [Dense("bf16"), ScaledInt8(), TopKCodec(3, 10, "fp16"), RaggedTopK(0.9, 5, 1000), Tokens(TopKCodec(32, 151_936))]
)
def test_a_codec_is_built_again_from_its_spec(codec: Codec) -> None:
    assert codec_from(codec.spec()) == codec


def test_unknown_codecs_and_settings_are_named() -> None:
    with pytest.raises(ValueError, match="unknown codec 'dence'; nearest: dense"):
        codec_from({"codec": "dence"})
    with pytest.raises(ValueError, match="precision: expected fp16, bf16, fp32, found 'fp8'"):
        codec_from({"codec": "dense", "precision": "fp8"})
    with pytest.raises(ValueError, match="unexpected keyword argument 'k'"):
        codec_from({"codec": "dense", "k": 3})
