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


class Normalised(nn.Module):
    """A network that normalises its input in a module without weights, as those of timm and torchvision do."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.normalize, self.body = nn.InstanceNorm2d(3), body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.normalize(x))


def test_what_runs_before_the_first_weights_is_no_tap():
    pairs = pair_taps(Normalised(resnet_cifar(8)), Normalised(resnet_cifar(14)), IMAGES, IMAGES)
    assert pairs == [(f"body.layer{number}", f"body.layer{number}") for number in (1, 2, 3)]


class ChannelsLast(nn.Module):
    """Maps [B, H, W, C] between two convolutions, as in a Swin Transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.mlp = nn.Conv2d(3, 12, 4, 4), nn.LayerNorm(12), nn.Linear(12, 12)
        self.permute, self.head = nn.Identity(), nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.mlp(self.norm(self.stem(x).permute(0, 2, 3, 1)))
        return self.head(self.permute(tokens.permute(0, 3, 1, 2))).mean((2, 3))


def test_maps_with_channels_last_are_none():
    assert [found.path for found in feature_maps(ChannelsLast(), IMAGES)] == ["stem", "permute", "head"]


def test_the_inside_of_attention_is_no_map():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.attn_drop, self.out = nn.Conv2d(3, 8, 4, 4), nn.Identity(), nn.Conv2d(8, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            self.attn_drop(torch.rand(2, 2, 8, 8))
            return self.out(x)

    assert [found.path for found in feature_maps(Attention(), IMAGES)] == ["stem", "out"]


def test_a_transformer_of_patches_is_refused_with_the_way_out():
    with pytest.raises(TapError, match=r"feature maps at its start only \(.*\), such as a Vision"):
        pair_taps(resnet_cifar(8), vit_tiny(dim=16, depth=6, heads=2), IMAGES, IMAGES)


def test_a_stage_of_the_teacher_is_paired_once_with_the_closest():
    def plain(*strides):
        return nn.Sequential(*(nn.Conv2d(3, 3, 3, s, padding=1) for s in strides))

    pairs = pair_taps(plain(2, 2, 2, 2), plain(1, 2, 1, 1), IMAGES, IMAGES)
    assert pairs == [("0", "0"), ("3", "3")]
