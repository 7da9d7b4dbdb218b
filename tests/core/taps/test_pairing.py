"""Pairs of taps at equal relative depth."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.pairing import FeatureMap, feature_maps, pair_taps, stage_ends
from limbeck.models import resnet_cifar, vit_tiny

IMAGES = torch.rand(2, 3, 32, 32)


def test_pairs_stages_of_small_and_large_resnet():
    pairs = pair_taps(resnet_cifar(8), resnet_cifar(56), IMAGES, IMAGES)
    assert pairs == [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]


def test_pairs_by_relative_depth_when_names_differ():
    def plain(*strides):
        return nn.Sequential(*(nn.Conv2d(3, 3, 3, s, padding=1) for s in strides))

    assert pair_taps(plain(2, 2), plain(2, 1, 2, 1), IMAGES, IMAGES) == [("0", "1"), ("1", "3")]


def test_pairs_numbered_layers_of_encoders_by_relative_depth():
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
