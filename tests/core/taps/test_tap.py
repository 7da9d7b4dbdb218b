"""Taps: how addresses are written and parsed."""

from __future__ import annotations

import pytest
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.tap import Tap
from limbeck.models import resnet_cifar


def test_an_unknown_tap_gives_the_three_nearest_names():
    with pytest.raises(TapError, match=r"unknown tap 'layer4' in ResNetCifar; nearest: layer\d, layer\d, layer\d$"):
        Tap("layer4").find(resnet_cifar(8))
    with pytest.raises(TapError, match="the model has no submodules"):
        Tap("x").find(nn.ReLU())


@pytest.mark.parametrize("text", ["layer3", "input(layer3)", "logits", "a.0.b", "hidden(-1)", "cls(0)", "scores(a.0.b)"])
def test_taps_are_written_as_they_are_read(text):
    assert str(Tap.parse(text)) == text
    assert Tap.parse(Tap.parse(text)) == Tap.parse(text)


def test_what_is_read_stands_in_front_of_the_address():
    assert Tap.parse("keys(a.b)") == Tap("a.b", "keys")
    with pytest.raises(
        TapError, match=r"unknown kind 'output' in tap 'output\(a\)'; there are a bare path and input, hidden, "
    ):
        Tap.parse("output(a)")
