"""Colour jitter, against colorsys and by its invariants."""

from __future__ import annotations

import colorsys

import pytest
import torch

from limbeck.data import Pipeline
from limbeck.data.image.colour import adjust_hue


def test_hue_agrees_with_colorsys() -> None:
    image = torch.rand(1, 3, 5, 5)
    image[0, :, 0, 0] = 0.4  # grey has no hue
    turned = adjust_hue(image, torch.tensor([[[0.3]]]))
    for y in range(5):
        for x in range(5):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[0, :, y, x].tolist())
            expected = colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value)
            assert turned[0, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)


def test_contrast_and_saturation_keep_what_they_should() -> None:
    grey = torch.full((8, 3, 4, 4), 0.37)
    out, _ = Pipeline.from_spec([{"color_jitter": {"brightness": 0}}])(grey, torch.arange(8))
    torch.testing.assert_close(out, grey, rtol=0, atol=1e-4)  # a uniform grey has neither contrast nor saturation
    bright, _ = Pipeline.from_spec([{"color_jitter": {"contrast": 0, "saturation": 0}}])(grey, torch.arange(8))
    factors = (bright / 0.37)[:, 0, 0, 0]
    assert ((factors >= 0.6 - 1e-6) & (factors < 1.4)).all()
    assert factors.std() > 0.1
