"""Geometric transforms, against slow references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from limbeck.data import Pipeline
from limbeck.data.image.geometry import RandomResizedCrop, box_mask, random_box
from limbeck.data.keyed_random import KeyedGenerator


def test_random_crop_takes_every_window_of_the_padded_image() -> None:
    image = torch.rand(1, 3, 6, 5)
    out, _ = Pipeline.from_spec([{"random_crop": {"padding": 1}}])(image.expand(500, -1, -1, -1), torch.arange(500))
    padded = F.pad(image[0], (1, 1, 1, 1))
    windows = [padded[:, y : y + 6, x : x + 5] for y in range(3) for x in range(3)]
    counts = [sum(torch.equal(window, each) for each in out) for window in windows]
    assert sum(counts) == 500
    assert min(counts) > 30


def test_horizontal_flip_mirrors_with_its_probability() -> None:
    image = torch.rand(1, 3, 6, 5)
    out, _ = Pipeline.from_spec([{"horizontal_flip": {"p": 0.25}}])(image.expand(1000, -1, -1, -1), torch.arange(1000))
    mirrored = [torch.equal(each, image[0].flip(-1)) for each in out]
    same = [torch.equal(each, image[0]) for each in out]
    assert sum(mirrored) + sum(same) == 1000
    assert 200 < sum(mirrored) < 300


def test_random_resized_crop_agrees_with_interpolate() -> None:
    images, keys, size = torch.rand(30, 3, 17, 23), torch.arange(30), (12, 19)
    crop = RandomResizedCrop(size=size)
    draws = KeyedGenerator(0, keys, 0, "default/random_resized_crop#0")
    out = crop(images, draws)

    for image, numbers, result in zip(images, draws.uniform(40).tolist(), out, strict=True):
        box = random_box(numbers, 17, 23, crop.scale, crop.ratio)
        assert box is not None
        top, left, height, width = box
        assert 0.06 < height * width / (17 * 23) <= 1
        assert 0.6 < width / height < 1.7
        patch = image[None, :, top : top + height, left : left + width]
        expected = F.interpolate(patch, size, mode="bilinear", align_corners=False, antialias=False)[0]
        torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)


def test_random_resized_crop_of_the_whole_image_is_the_image() -> None:
    images = torch.rand(4, 3, 8, 8)
    out, _ = Pipeline([RandomResizedCrop(scale=(1, 1), ratio=(1, 1))])(images, torch.arange(4))
    assert torch.equal(out, images)


def test_a_box_that_never_fits_is_replaced_by_the_central_one() -> None:
    images = torch.rand(2, 1, 4, 40)
    out, _ = Pipeline([RandomResizedCrop(scale=(1, 1), ratio=(1, 1))])(images, torch.arange(2))
    expected = F.interpolate(images[..., 18:22], (4, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out, expected, rtol=0, atol=2e-6)


def test_cutout_erases_one_square() -> None:
    images = torch.ones(200, 3, 16, 16)
    out, _ = Pipeline.from_spec([{"cutout": {"size": 6}}])(images, torch.arange(200))
    holes = (out == 0).sum((1, 2, 3)) / 3
    assert holes.max() == 36
    assert holes.min() >= 9  # a corner: three of six rows and columns are left
    assert torch.equal(out[:, 0], out[:, 2])


def test_random_erasing_erases_its_share() -> None:
    images = torch.ones(500, 1, 32, 32)
    out, _ = Pipeline.from_spec([{"random_erasing": {"p": 0.5, "scale": [0.1, 0.2]}}])(images, torch.arange(500))
    erased = (out == 0).float().mean((1, 2, 3))
    hit = erased > 0
    assert 0.4 < hit.float().mean() < 0.6
    assert erased[hit].min() > 0.08
    assert erased[hit].max() < 0.22


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=40, max_size=40), st.integers(1, 40), st.integers(1, 40))
def test_random_boxes_lie_in_the_image(numbers: list[float], height: int, width: int) -> None:
    box = random_box(numbers, height, width, (0.08, 1.0), (3 / 4, 4 / 3))
    if box is not None:
        top, left, box_height, box_width = box
        assert 0 <= top <= top + box_height <= height
        assert 0 <= left <= left + box_width <= width
        assert box_height > 0
        assert box_width > 0


@given(st.integers(-5, 9), st.integers(-5, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_mask_is_true_in_its_box_even_over_the_edge(top: int, left: int, height: int, width: int) -> None:
    (mask,) = box_mask(torch.tensor([[top, left]]), torch.tensor([[height, width]]), 6, 5)
    expected = [[top <= y < top + height and left <= x < left + width for x in range(5)] for y in range(6)]
    assert mask.tolist() == expected


@pytest.mark.parametrize("size", [0, -1, (8, 0)])
def test_a_crop_without_pixels_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="size="):
        RandomResizedCrop(size=size)
