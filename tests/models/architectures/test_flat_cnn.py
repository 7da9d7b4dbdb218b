"""A classifier of places."""

from __future__ import annotations

import pytest
import torch

from limbeck import models


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (8, 3), (30, 1)])
def test_the_classifier_reads_places(size: int, channels: int) -> None:
    model = models.flat_cnn(width=4, classes=5, channels=channels, size=size).eval()
    images = torch.rand(3, channels, size, size)
    assert model(images).shape == (3, 5)
    assert model.linear.in_features == 8 * (size // 4) ** 2
    maps = model.layer3(model.layer2(model.layer1(images)))
    torch.testing.assert_close(model(images), model.linear(maps.flatten(1)))
    assert not torch.allclose(model(images.flip(-1)), model(images))


def test_its_arguments_are_recorded() -> None:
    model = models.get("flat_cnn", width=4, size=8)
    assert models.spec_of(model) == {"model": "flat_cnn", "args": {"width": 4, "classes": 10, "channels": 1, "size": 8}}


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 pixels, got 3"):
        models.flat_cnn(size=3)
    with pytest.raises(ValueError, match="width"):
        models.flat_cnn(width=0)
