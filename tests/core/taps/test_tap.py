"""Where signals are read."""

from __future__ import annotations

import copy
import io
from collections import OrderedDict

import pytest
import torch
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import logits_of, preserve_modes
from limbeck.core.taps.pairing import FeatureMap, feature_maps, pair_taps, stage_ends
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap
from limbeck.models import resnet_cifar, vit_tiny


def net() -> nn.Sequential:
    torch.manual_seed(0)
    parts = [("first", nn.Linear(3, 4)), ("norm", nn.BatchNorm1d(4)), ("act", nn.ReLU(inplace=True)), ("last", nn.Linear(4, 2))]
    return nn.Sequential(OrderedDict(parts))


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


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


def test_an_encoder_that_returns_several_things_is_heard_by_its_last_hidden_state():
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


def test_a_copied_or_saved_model_is_not_listened_to():
    model = net().eval()
    with Probe(model, ["first"]) as probe:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            heard = probe(X, lambda one, x, other=other: (one(x), other(2 * x))[0])
            torch.testing.assert_close(heard["first"], model.first(X))


def test_a_copied_probe_listens_to_the_copied_model():
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


def test_a_shared_module_answers_to_both_names_and_the_last_run_counts():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(OrderedDict(once=layer, again=layer))
    with Probe(model, ["again"]) as probe:
        torch.testing.assert_close(probe(X)["again"], layer(layer(X)))


def test_inputs_by_keyword_are_heard():
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


def test_logits_within_what_models_return():
    class Answer:
        logits = X

    for output in (X, (X, 1), {"logits": X, "loss": 0}, Answer()):
        assert torch.equal(logits_of(output), X)
    with pytest.raises(TapError, match="returned dict, in which no logits"):
        logits_of({"loss": 0})


def test_modes_are_kept_module_by_module():
    model = net().train()
    model.norm.eval()
    with pytest.raises(TypeError), preserve_modes(model):
        model.eval()(None)
    assert (model.training, model.first.training, model.norm.training) == (True, True, False)


# Automatic pairs


IMAGES = torch.rand(2, 3, 32, 32)


def test_auto_pairs_stages_of_small_and_large_resnet():
    pairs = pair_taps(resnet_cifar(8), resnet_cifar(56), IMAGES, IMAGES)
    assert pairs == [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]


def test_auto_pairs_by_relative_depth_when_names_differ():
    def plain(*strides):
        return nn.Sequential(*(nn.Conv2d(3, 3, 3, s, padding=1) for s in strides))

    assert pair_taps(plain(2, 2), plain(2, 1, 2, 1), IMAGES, IMAGES) == [("0", "1"), ("1", "3")]


def test_auto_pairs_numbered_layers_of_encoders_by_relative_depth():
    student, teacher = vit_tiny(dim=16, depth=2, heads=2), vit_tiny(dim=16, depth=5, heads=2)
    assert pair_taps(student, teacher, IMAGES, IMAGES, ["hidden"]) == [("hidden(1)", "hidden(3)"), ("hidden(2)", "hidden(5)")]
    pairs = pair_taps(teacher, student, IMAGES, IMAGES, ["keys", "values"])
    assert pairs[:4] == [(f"{kind}({ours})", f"{kind}(1)") for ours in (1, 2) for kind in ("keys", "values")]
    assert pairs[4:] == [(f"{kind}({ours})", f"{kind}({1 + (ours > 3)})") for ours in (3, 4, 5) for kind in ("keys", "values")]
    with pytest.raises(TapError, match=r"taps 'auto' \(hidden of numbered layers\): ResNetCifar has no list of layers"):
        pair_taps(student, resnet_cifar(8), IMAGES, IMAGES, ["hidden"])


def test_a_model_without_maps_is_refused():
    with pytest.raises(TapError, match="no module of Sequential gives a feature map"):
        pair_taps(resnet_cifar(8), nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), IMAGES, IMAGES)


def test_stage_ends_keep_the_outermost_name_and_leave_out_pooled_maps():
    maps = [
        FeatureMap("a.conv", 0.2, (2, 8, 8, 8)),
        FeatureMap("b.0.conv", 0.5, (2, 8, 8, 8)),
        FeatureMap("b.0", 0.5, (2, 8, 8, 8)),
    ]
    maps += [FeatureMap("b", 0.5, (2, 8, 8, 8)), FeatureMap("pool", 0.9, (2, 8, 1, 1))]
    assert [end.path for end in stage_ends(maps)] == ["b"]
    assert [end.path for end in stage_ends(maps[-1:])] == ["pool"]


def test_looking_for_maps_changes_nothing():
    model = resnet_cifar(8).train()
    model.bn1.eval()
    before = copy.deepcopy(model.state_dict())
    assert [depth.path for depth in feature_maps(model, IMAGES)][-1] == "layer3"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.bn1.training
    assert not any(m._forward_hooks for m in model.modules())
