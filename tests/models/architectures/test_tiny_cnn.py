"""Resolutions and separable convolutions of the tiny CNN."""

import pytest
import torch

from limbeck import models


@pytest.mark.parametrize(("size", "maps"), [(8, (8, 4, 4)), (28, (28, 14, 7)), (64, (32, 16, 8))])
def test_tiny_cnn_keeps_a_useful_resolution(size, maps):
    model, x = models.tiny_cnn(4, size=size), torch.rand(1, 1, size, size)
    for layer, side in zip((model.layer1, model.layer2, model.layer3), maps, strict=True):
        x = layer(x)
        assert x.shape[-1] == side


def test_separable_is_smaller():
    full, separable = (models.count_parameters(models.tiny_cnn(separable=flag)) for flag in (False, True))
    assert separable < full / 4
