"""Thumbnails: any picture fits its budget, small ones are kept pixel by pixel."""

import base64
import io

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limbeck.evaluation.thumbnail import MAX_BYTES, thumbnail


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@settings(max_examples=15, deadline=None)
@given(channels=st.sampled_from([1, 2, 3, 5]), height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 9))
def test_any_picture_fits_its_budget(channels, height, width, seed):
    noise = torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    picture = decoded(thumbnail(noise))
    assert max(picture.size) <= 96
    assert len(base64.b64decode(thumbnail(noise).partition(",")[2])) <= MAX_BYTES


def test_a_small_picture_is_kept_pixel_by_pixel():
    grey = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) * 3
    assert np.array_equal(np.asarray(decoded(thumbnail(grey))), grey[0].numpy())
    colours = torch.rand(3, 8, 8)
    shown = np.asarray(decoded(thumbnail(colours)).convert("RGB")) / 255
    assert np.allclose(shown, colours.permute(1, 2, 0), atol=0.003)
    standardised = torch.randn(1, 8, 8) * 3
    standardised[0, 0, 0] = float("nan")
    assert np.ptp(np.asarray(decoded(thumbnail(standardised)))) == 255
