"""Colour jitter, against colorsys and by its invariants."""

from __future__ import annotations

import colorsys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import Pipeline
from limbeck.data.image.colour import ColorJitter, adjust_hue
from limbeck.data.keyed_random import KeyedGenerator


def test_hue_agrees_with_colorsys() -> None:
    image = torch.rand(1, 3, 5, 5)
    image[0, :, 0, 0] = 0.4  # grey has no hue
    turned = adjust_hue(image, torch.tensor([[[0.3]]]))
    for y in range(5):
        for x in range(5):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[0, :, y, x].tolist())
            expected = colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value)
            assert turned[0, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)


def test_contrast_and_saturation_keep_uniform_grey() -> None:
    grey = torch.full((8, 3, 4, 4), 0.37)
    out, _ = Pipeline.from_spec([{"color_jitter": {"brightness": 0}}])(grey, torch.arange(8))
    torch.testing.assert_close(out, grey, rtol=0, atol=1e-4)  # a uniform grey has neither contrast nor saturation
    bright, _ = Pipeline.from_spec([{"color_jitter": {"contrast": 0, "saturation": 0}}])(grey, torch.arange(8))
    factors = (bright / 0.37)[:, 0, 0, 0]
    assert ((factors >= 0.6 - 1e-6) & (factors < 1.4)).all()
    assert factors.std() > 0.1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0, 2), st.sampled_from([1, 3]))
def test_jittered_images_stay_in_range_and_zero_changes_nothing(seed: int, spread: float, channels: int) -> None:
    images = torch.rand(3, channels, 4, 5, generator=torch.Generator().manual_seed(seed))
    generator = KeyedGenerator(seed, torch.arange(3), 0, "colour")
    jittered = ColorJitter(spread, spread, spread, min(spread, 0.5))(images, generator)
    assert jittered.min() >= 0
    assert jittered.max() <= 1
    assert torch.equal(ColorJitter(0, 0, 0, 0)(images, generator), images)
    if channels == 1:
        assert torch.equal(ColorJitter(0, 0, spread, min(spread, 0.5))(images, generator), images)


def test_a_full_turn_of_the_hue_is_the_image() -> None:
    images = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(adjust_hue(images, torch.ones(2, 1, 1)), images, rtol=0, atol=1e-5)
