"""Taps: how addresses are written and parsed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.actors import Actors, trained
from limbeck.core.errors import TapError
from limbeck.core.references import Reference
from limbeck.core.taps.tap import Tap
from limbeck.models import resnet_cifar, with_exits


def test_an_unknown_tap_gives_the_three_nearest_names():
    with pytest.raises(TapError, match=r"unknown tap 'layer4' in ResNetCifar; nearest: layer\d, layer\d, layer\d$"):
        Tap("layer4").find(resnet_cifar(8))
    with pytest.raises(TapError, match="the model has no submodules"):
        Tap("x").find(nn.ReLU())


@pytest.mark.parametrize(("tap", "what"), [("exits.layer1", "exits"), ("branches.heads.ensemble", "branches")])
def test_exits_and_branches_that_a_model_was_not_given(tap, what):
    with pytest.raises(TapError, match=f"it has no {what}; in a recipe give the model, for example, {what}: .*with_{what}$"):
        Tap(tap).find(resnet_cifar(8))
    pattern = f"{tap.partition('.')[0]}.*"
    with pytest.raises(ValueError, match=f"matches nothing: 'student': it has no {what}; in a recipe"):
        Reference.parse(f"student:{pattern}").matches(Actors({"student": trained(resnet_cifar(8))}))
    with_exit = with_exits(resnet_cifar(8), ["layer1"], example=torch.zeros(1, 3, 8, 8))
    with pytest.raises(TapError, match=r"unknown tap 'exits.layer2' in \w+; nearest: exits.layer1"):
        Tap("exits.layer2").find(with_exit)


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
