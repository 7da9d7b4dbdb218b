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
