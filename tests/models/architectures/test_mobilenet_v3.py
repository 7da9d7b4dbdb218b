"""Strides of MobileNetV3."""

import pytest
import torch

from limbeck import models


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("variant", ["small", "large"])
def test_mobilenet_downsamples_by_stride(variant, stride):
    model = models.mobilenet_v3(variant, 0.35, classes=4, stride=stride)
    assert model.features(torch.rand(1, 3, 64, 64)).shape[-1] == 64 // stride
