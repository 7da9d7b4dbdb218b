"""MobileNetV2: torchvision's keys, and images that are resized inside."""

import pytest
import torch
import torch.nn.functional as F

from limbeck import models


def test_keys_and_shapes_are_torchvisions():
    state = models.mobilenet_v2().state_dict()
    shapes = {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),  # no expansion in the first block
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.1.conv.2.running_mean": (16,),
        "features.17.conv.0.0.weight": (960, 160, 1, 1),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.17.conv.3.bias": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "classifier.1.weight": (1000, 1280),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_resized_images_are_those_that_are_read():
    small = models.mobilenet_v2(0.35, classes=4, resize=64).eval()
    plain = models.mobilenet_v2(0.35, classes=4).eval()
    plain.load_state_dict(small.state_dict())
    images = torch.rand(2, 3, 32, 32)
    large = F.interpolate(images, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(small(images), plain(large))


def test_a_size_below_the_downsampling_is_refused():
    with pytest.raises(ValueError, match=r"resize must be at least 32.*got 16"):
        models.mobilenet_v2(resize=16)


@pytest.mark.filterwarnings("ignore:.*fresh_head")
def test_first_blocks_start_from_the_whole_network(tmp_path):
    whole, few = models.mobilenet_v2(0.35).eval(), models.mobilenet_v2(0.35, classes=5, blocks=3).eval()
    models.save_weights(whole, tmp_path / "whole.safetensors")
    models.load_weights(few, tmp_path / "whole.safetensors", fresh_head=True)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(few.features(images), whole.features[:4](images))  # the stem and three blocks
    assert few(images).shape == (2, 5)
    assert sum(p.numel() for p in models.mobilenet_v2(classes=384, blocks=14).parameters()) == 759_616


@pytest.mark.parametrize("blocks", [0, 18])
def test_blocks_that_there_are_not_are_refused(blocks):
    with pytest.raises(ValueError, match=rf"blocks must be from 1 to 17.*got {blocks}"):
        models.mobilenet_v2(blocks=blocks)
