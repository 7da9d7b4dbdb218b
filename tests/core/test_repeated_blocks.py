"""Encoder layers and residual blocks are found; single layers are none."""

from __future__ import annotations

import pytest
from torch import nn

from limbeck.core.repeated_blocks import repeated_blocks
from limbeck.models import get


def test_encoder_layers_are_blocks() -> None:
    layers = [nn.TransformerEncoderLayer(4, 1) for _ in range(2)]
    model = nn.Sequential(nn.Linear(4, 4), nn.ModuleList(layers))
    assert repeated_blocks(model) == {"1.0": layers[0], "1.1": layers[1]}


def test_a_shared_layer_is_found_once() -> None:
    layer, other = nn.TransformerEncoderLayer(4, 1), nn.TransformerEncoderLayer(4, 1)
    assert list(repeated_blocks(nn.Sequential(layer, other, layer))) == ["0", "1"]


@pytest.mark.parametrize("name", ["resnet_cifar", "vit_tiny"])
def test_blocks_of_architectures_lie_side_by_side(name: str) -> None:
    paths = list(repeated_blocks(get(name)))
    assert len(paths) > 2
    assert not any(one.startswith(f"{other}.") for one in paths for other in paths)


def test_single_layers_are_no_blocks() -> None:
    assert repeated_blocks(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))) == {}
