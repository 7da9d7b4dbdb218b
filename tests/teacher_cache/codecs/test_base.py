from __future__ import annotations

import pytest
import torch

from limbeck.teacher_cache import Codec, Dense, RaggedTopK, ScaledInt8, SignalError, StoreError, Tokens, TopKCodec
from limbeck.teacher_cache.codecs import codec_from


@pytest.mark.parametrize("codec", [Dense("fp16"), Dense("bf16"), Dense("fp32"), ScaledInt8()])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused_by_row(codec: Codec, bad: float) -> None:
    x = torch.randn(5, 4)
    x[3, 2] = bad
    with pytest.raises(SignalError, match="NaN or infinity") as caught:
        codec.encode(x)
    assert caught.value.row == 3


@pytest.mark.parametrize("signal", [torch.zeros(3, dtype=torch.int64), (torch.zeros(3),), torch.tensor(1.0)])
def test_other_kinds_of_signal_are_refused(signal: object) -> None:
    with pytest.raises(StoreError, match="expected a floating-point tensor"):
        Dense().encode(signal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "codec", [Dense("bf16"), ScaledInt8(), TopKCodec(3, 10, "fp16"), RaggedTopK(0.9, 5, 1000), Tokens(TopKCodec(32, 151_936))]
)
def test_a_codec_is_rebuilt_from_its_spec(codec: Codec) -> None:
    assert codec_from(codec.spec()) == codec


def test_unknown_codecs_and_settings_are_named() -> None:
    with pytest.raises(ValueError, match="unknown codec 'dence'; nearest: dense"):
        codec_from({"codec": "dence"})
    with pytest.raises(ValueError, match="precision='fp8': expected 'fp16' or 'bf16' or 'fp32'"):
        codec_from({"codec": "dense", "precision": "fp8"})
    with pytest.raises(ValueError, match="unexpected keyword argument 'k'"):
        codec_from({"codec": "dense", "k": 3})
