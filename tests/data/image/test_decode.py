"""Decoding: sizes, channels, broken images and the memory limit."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limbeck.data import load_items
from limbeck.data.image.decode import decode_image, to_array
from limbeck.data.image.load import load_arrays, load_images
from tests.data.loading.files import CELLS, EXPECTED, PIXELS, cell, everything, folder_of_images, parquet, png, targets


def test_images_over_the_memory_limit_are_decoded_when_fetched_and_are_the_same(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0] * 6)
    kept, lazy = load_items(file), load_items(file, memory_limit=100)
    rows = torch.tensor([4, 0, 4])
    assert kept.storage.in_memory
    assert not lazy.storage.in_memory
    assert torch.equal(lazy.fetch(rows), kept.fetch(rows))
    assert torch.equal(lazy.select(rows).fetch(torch.arange(3)), kept.fetch(rows))
    assert lazy.fingerprint() == kept.fingerprint()


def test_broken_images_are_named_and_counted_or_skipped(tmp_path: Path) -> None:
    cells = [*CELLS[:2], {"bytes": b"broken", "path": None}, CELLS[3], {"bytes": None, "path": None}]
    file = parquet(tmp_path / "a.parquet", image=cells, label=[0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"2 of 5 images do not decode, the first at .*a.parquet row 2.*on_error: skip"):
        load_items(file)
    with pytest.warns(UserWarning, match=r"2 of 5 images do not decode.*left out"):
        items = load_items(file, on_error="skip")
    assert targets(items) == [0, 1, 3]
    assert torch.equal(everything(items), EXPECTED[[0, 1, 3]])
    root = folder_of_images(tmp_path / "folder")
    (root / "dog" / "b.png").write_bytes(png(PIXELS[0])[:40])
    with pytest.raises(ValueError, match=r"the first at .*dog/b.png"):
        load_items(root)
    with pytest.raises(ValueError, match="on_error='ignore'"):
        load_items(root, on_error="ignore")  # type: ignore[arg-type]


def test_sizes_and_channels(tmp_path: Path) -> None:
    wide = np.zeros((5, 9, 3), dtype=np.uint8)
    wide[:, 2:7] = 200  # the centre that a square crop keeps
    file = parquet(tmp_path / "a.parquet", image=[CELLS[0], cell(wide)], label=[0, 1])
    with pytest.raises(ValueError, match=r"row 1 is 9×5 pixels, .*row 0 is 4×5; .*`size: 4`"):
        load_items(file)
    items = load_items(file, size=5)
    assert everything(items).shape == (2, 3, 5, 5)
    assert (everything(items)[1] == 200).all()
    assert everything(load_items(file, size=(6, 3), channels=1)).shape == (2, 1, 6, 3)
    with pytest.raises(ValueError, match="channels=2: expected 1"):
        load_items(file, channels=2)


def test_grey_and_colour_together_need_channels(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=[CELLS[0], cell(PIXELS[1, :, :, 0])], label=[0, 1])
    with pytest.raises(ValueError, match=r"row 1 has 1 channels, .*row 0 has 3; set `channels: 3`"):
        load_items(file)
    items = load_items(file, channels=3)
    assert torch.equal(everything(items)[1], EXPECTED[1, 0].expand(3, -1, -1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert everything(load_items(parquet(tmp_path / "b.parquet", image=[cell(PIXELS[1, :, :, 0])]))).shape[1] == 1


def test_sixteen_bit_images_are_refused(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=[cell(np.full((4, 4), 5000, dtype=np.uint16))], label=[0])
    with pytest.raises(ValueError, match="not 8 bits deep"):
        load_items(file)


def test_images_are_turned_upright() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    Image.fromarray(PIXELS[0]).save(buffer, "PNG", exif=exif)
    upright = decode_image(buffer.getvalue(), None, None)
    assert np.array_equal(upright, np.rot90(PIXELS[0], -1).transpose(2, 0, 1))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
def test_any_image_takes_any_size(height: int, width: int, new_height: int, new_width: int, channels: int) -> None:
    image = np.full((height, width, 3), 77, dtype=np.uint8)
    decoded = decode_image(png(image), (new_height, new_width), channels)
    assert decoded.shape == (channels, new_height, new_width)
    assert decoded.flags.c_contiguous
    assert (abs(decoded.astype(int) - 77) <= 1).all()


def test_arrays_bytes_and_paths_are_decoded_alike(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(PIXELS[0]))
    loaded = load_images([png(PIXELS[0]), tmp_path / "a.png"], str)
    assert loaded.keys.unique().numel() == 1
    assert torch.equal(loaded.storage.fetch(torch.arange(2)), EXPECTED[:1].expand(2, -1, -1, -1))
    assert loaded.rows.tolist() == [0, 1]
    assert torch.equal(load_arrays([PIXELS[0]]).storage.fetch(torch.arange(1)), EXPECTED[:1])


def test_images_that_are_resized_or_converted_have_keys_of_their_own(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS)
    plain, resized, other, grey = (load_items(file, **how).keys for how in ({}, {"size": 6}, {"size": 7}, {"channels": 1}))
    assert len({*plain.tolist(), *resized.tolist(), *other.tolist(), *grey.tolist()}) == 4 * len(CELLS)
    assert torch.equal(load_items(file, size=(5, 4), channels=3).keys, plain), "nothing changes, so nothing is another input"


def jpeg(side: int, quality: int = 95) -> bytes:
    ramp = np.linspace(0, 255, side)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (side, 1)), np.tile(ramp, (side, 1)).T], 2)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_large_jpegs_are_decoded_at_a_reduced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.open(io.BytesIO(jpeg(800)))
    reduced = to_array(image, (50, 50), None)
    assert image.size == (100, 100), "an eighth, which is twice the size wanted"
    monkeypatch.setattr("limbeck.data.image.decode.REDUCING_GAP", 1000)
    image = Image.open(io.BytesIO(jpeg(800)))
    assert abs(to_array(image, (50, 50), None).astype(int) - reduced).max() <= 3
    assert image.size == (800, 800)


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_a_box_is_cut_out_of_the_upright_image(turned: int) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turned
    Image.open(io.BytesIO(jpeg(400))).crop((0, 0, 400, 300)).save(buffer, "JPEG", exif=exif, quality=95)
    upright = decode_image(buffer.getvalue(), None, None)
    top, left, height, width = 40, 60, 200, 160
    box = upright[:, top : top + height, left : left + width]
    for size in ((100, 80), (20, 16)):  # the second is decoded at a reduced size
        expected = Image.fromarray(box.transpose(1, 2, 0)).resize(size[::-1], Image.Resampling.BILINEAR)
        found = decode_image(buffer.getvalue(), size, None, (top, left, height, width))
        assert abs(found.astype(int) - np.asarray(expected).transpose(2, 0, 1)).max() <= 4


def test_what_is_no_image_is_said_without_the_words_of_the_library() -> None:
    for content, said in ((b"not an image", "its bytes are no image of a known format;"), (b"", "the file has no bytes;")):
        with pytest.raises(ValueError, match=f"1 of 2 images do not decode, the first at 1: {said}"):
            load_images([png(PIXELS[0]), content], str)


def test_a_cut_off_jpeg_is_found_at_the_start_and_a_damaged_one_when_it_is_decoded(tmp_path: Path) -> None:
    whole = jpeg(64)
    with pytest.raises(ValueError, match=r"1 of 2 images do not decode, the first at 1: image file is truncated"):
        load_images([whole, whole[:-200]], str)
    damaged = png(PIXELS[0])
    damaged = damaged[:-20] + bytes([damaged[-20] ^ 255]) + damaged[-19:]  # within the compressed pixels
    with pytest.raises(ValueError, match=r"1 of 2 images do not decode, the first at 1"):
        load_images([png(PIXELS[1]), damaged], str)
    file, scan = tmp_path / "a.jpg", whole.index(b"\xff\xda")
    file.write_bytes(whole[: scan + 4] + b"\x09" + whole[scan + 5 :])  # nine channels
    loaded = load_images([file], lambda row: "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg does not decode: .*`on_error: skip`"):
        loaded.storage.fetch(torch.tensor([0]))


def test_without_any_image_nothing_is_loaded() -> None:
    with pytest.raises(ValueError, match=r"no image decodes; 2 of 2 images do not decode"):
        load_images([b"x", None], str, on_error="skip")
