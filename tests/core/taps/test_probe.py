"""Probes: what is recorded at a tap, and what stays unchanged."""

from __future__ import annotations

import copy
import io
from collections import OrderedDict

import pytest
import torch
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.probe import Probe


def net() -> nn.Sequential:
    torch.manual_seed(0)
    parts = [("first", nn.Linear(3, 4)), ("norm", nn.BatchNorm1d(4)), ("act", nn.ReLU(inplace=True)), ("last", nn.Linear(4, 2))]
    return nn.Sequential(OrderedDict(parts))


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_an_encoder_that_returns_several_things_is_read_at_its_last_hidden_state():
    class Answer:
        last_hidden_state = X

    class Encoder(nn.Module):
        def forward(self, x):
            return Answer()

    model = nn.Sequential(OrderedDict(encoder=Encoder()))
    with Probe(model, ["encoder"]) as probe:
        assert torch.equal(probe(X)["encoder"], X)


def test_outputs_inputs_and_logits():
    model = net().eval()
    with Probe(model, ["first", "input(last)", "logits"]) as probe:
        heard = probe(X)
    first = model.first(X)
    torch.testing.assert_close(heard["first"], first)
    torch.testing.assert_close(heard["input(last)"], model.norm(first).relu())
    torch.testing.assert_close(heard["logits"], model(X))


def test_a_layer_that_changes_its_input_in_place_does_not_falsify_what_was_read_before_it():
    model = net().eval()
    with Probe(model, ["norm", "act"]) as probe:
        for _ in range(2):
            heard = probe(X)
            torch.testing.assert_close(heard["norm"], model.norm(model.first(X)))
            assert (heard["norm"] < 0).any()
            assert (heard["act"] >= 0).all()


def test_gradient_passes_from_a_tap_that_is_copied():
    model = net().eval()
    with Probe(model, ["norm"]) as probe:
        found = torch.autograd.grad(probe(X)["norm"].square().sum(), model.first.weight)[0]
    expected = torch.autograd.grad(model.norm(model.first(X)).square().sum(), model.first.weight)[0]
    torch.testing.assert_close(found, expected)


def test_class_and_state_stay_and_hooks_go():
    model, before = net(), net().state_dict()
    probe = Probe(model, ["first", "input(last)"])
    assert type(model) is nn.Sequential
    assert list(model.state_dict()) == list(before)
    assert len(model.first._forward_hooks) == len(model.last._forward_pre_hooks) == 1
    probe.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_nothing_is_kept_of_a_run_that_was_not_asked_for():
    model = net()
    with Probe(model, ["first"]) as probe:
        model(X)
        assert probe._recorded == {}
        probe(X)
        assert probe._recorded == {}


def test_a_copied_or_saved_model_is_not_recorded():
    model = net().eval()
    with Probe(model, ["first"]) as probe:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            heard = probe(X, lambda one, x, other=other: (one(x), other(2 * x))[0])
            torch.testing.assert_close(heard["first"], model.first(X))


def test_a_copied_probe_records_the_copied_model():
    with Probe(net().eval(), ["first"]) as probe:
        twin = copy.deepcopy(probe)
        assert twin.model is not probe.model
        nn.init.zeros_(twin.model.first.weight)
        torch.testing.assert_close(twin(X)["first"], twin.model.first.bias.expand(5, 4))
        torch.testing.assert_close(probe(X)["first"], probe.model.first(X))


def test_a_tap_that_is_not_reached_raises_when_it_is_asked_for():
    model = net()
    with Probe(model, ["last", "first"]) as probe:
        heard = probe(X, lambda one, x: one.first(x))
        assert heard["first"].shape == (5, 4)
        with pytest.raises(TapError, match="'last' was not reached"):
            heard["last"]


def test_a_shared_module_is_found_by_both_names_and_the_last_run_counts():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(OrderedDict(once=layer, again=layer))
    with Probe(model, ["again"]) as probe:
        torch.testing.assert_close(probe(X)["again"], layer(layer(X)))


def test_inputs_by_keyword_are_recorded():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Bilinear(3, 3, 2)

        def forward(self, x):
            return self.block(input1=x, input2=x)

    with Probe(Keyword(), ["input(block)"]) as probe:
        assert torch.equal(probe(X)["input(block)"], X)


def test_inference_mode_is_allowed():
    model = net().eval()
    with Probe(model, ["norm"]) as probe, torch.inference_mode():
        assert (probe(X)["norm"] < 0).any()
