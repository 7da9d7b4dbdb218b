"""Signals of tokens are packed without padding, and padded again like the batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from limbeck.core.signals import TopK
from limbeck.teacher_cache import StoreError, Tokens, TokenSignals, TopKCodec
from limbeck.teacher_cache.padding import Padding

LENGTHS = torch.tensor([3, 5, 1, 4])
IDS = torch.arange(4 * 5).view(4, 5) % 11
MASK = torch.arange(5)[None] < LENGTHS[:, None]
INPUTS = {"input_ids": IDS, "attention_mask": MASK.long()}


def padding() -> Padding:
    found = Padding.from_inputs(INPUTS)
    assert found is not None
    return found


def test_span_logits_are_packed() -> None:
    signal = torch.randn(4, 2, 5)
    packed = padding().pack("logits", signal)
    assert isinstance(packed, TokenSignals)
    assert isinstance(packed.signal, Tensor)
    assert packed.signal.shape == (int(LENGTHS.sum()), 1, 2)
    back = padding().unpack("logits", packed)
    assert torch.equal(back, torch.where(MASK[:, None], signal, 0.0))  # type: ignore[arg-type]
    by_token = torch.randn(4, 5, 2)  # two classes for each token
    assert torch.equal(padding().unpack("logits", padding().pack("logits", by_token))[MASK], by_token[MASK])  # type: ignore[index]


@pytest.mark.parametrize(("tap", "shape"), [("hidden(2)", (4, 5, 6)), ("queries(1)", (4, 2, 5, 3)), ("layer", (4, 5, 2, 2))])
def test_unpacking_restores_the_shape_with_zeros_as_padding(tap: str, shape: tuple[int, ...]) -> None:
    signal = torch.randn(shape)
    packed = padding().pack(tap, signal)
    assert isinstance(packed, TokenSignals)
    assert len(packed.signal) == int(LENGTHS.sum())  # type: ignore[arg-type]
    back = padding().unpack(tap, packed)
    assert isinstance(back, Tensor)
    by_token = back.transpose(1, 2) if tap.startswith("queries") else back
    assert not by_token[~MASK].any()
    expected = signal.transpose(1, 2) if tap.startswith("queries") else signal
    assert torch.equal(by_token[MASK], expected[MASK])


def test_padding_on_the_left() -> None:
    inputs = {"input_ids": IDS, "attention_mask": MASK.flip(1).long()}
    left, signal = Padding.from_inputs(inputs), torch.randn(4, 5, 6)
    assert left is not None
    assert torch.equal(left.unpack("hidden(1)", left.pack("hidden(1)", signal))[MASK.flip(1)], signal[MASK.flip(1)])  # type: ignore[index]


def test_class_logits_are_not_packed() -> None:
    logits = torch.randn(4, 5)
    assert padding().pack("logits", logits) is logits
    assert Padding.from_inputs(torch.randn(4, 5)) is None


def test_pairs_of_tokens_are_refused() -> None:
    with pytest.raises(StoreError, match="queries and keys"):
        padding().pack("scores(1)", torch.randn(4, 2, 5, 5))


def test_top_k_of_tokens(tmp_path: Path) -> None:
    codec = TopKCodec(2, classes=11)
    logits = torch.randn(4, 5, 11)
    packed = padding().pack("logits", logits)
    assert isinstance(packed, TokenSignals)
    stored = Tokens(codec).decode(Tokens(codec).encode(packed))
    back = padding().unpack("logits", stored)
    assert isinstance(back, TopK)
    assert back.values.shape == (4, 5, 2)
    assert torch.equal(back.indices[MASK][:, 0].long(), logits.argmax(-1)[MASK])
