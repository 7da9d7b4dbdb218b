"""What a model says."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.signals import Kind, LinearLogits, TopK, detach, shape_of


def linear_logits() -> LinearLogits:
    return LinearLogits(torch.randn(2, 3, 4, requires_grad=True), torch.randn(5, 4), torch.randn(5))


def test_linear_logits_multiply_out():
    signal = linear_logits()
    torch.testing.assert_close(signal.dense(), signal.hidden @ signal.weight.T + signal.bias)
    assert shape_of(signal) == tuple(signal.dense().shape) == (2, 3, 5)


def test_detaching_cuts_every_part_and_keeps_the_values():
    signal, pair = linear_logits(), (torch.randn(2, requires_grad=True), torch.randn(3, requires_grad=True))
    cut = detach(signal)
    assert not cut.hidden.requires_grad
    assert cut.bias is not None
    assert torch.equal(cut.hidden, signal.hidden)
    assert [part.requires_grad for part in detach(pair)] == [False, False]
    assert shape_of(pair) == ((2,), (3,))


def test_signals_move_as_one():
    top = TopK(torch.rand(2, 3), torch.ones(2, 3, dtype=torch.long), torch.rand(2)).to("meta")
    assert {top.values.device.type, top.indices.device.type, top.tail.device.type} == {"meta"}
    assert shape_of(top) == (2, 3)


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 3), Kind.VECTOR), ((2, 3, 4), Kind.TOKENS), ((2, 3, 4, 4), Kind.MAP), ((2,), Kind.OTHER)]
)
def test_kinds(shape, kind):
    assert Kind.of(shape) is kind


def test_what_is_no_signal_is_refused():
    with pytest.raises(TypeError, match="not a signal: list"):
        shape_of([torch.zeros(2)])
