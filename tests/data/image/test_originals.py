"""Views that crop read images before they are resized, and give the same batches whatever the number of workers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, load_items
from limbeck.data.image import Pipeline, load_images
from limbeck.data.image.geometry import ATTEMPTS, RandomResizedCrop
from limbeck.data.image.storage import OriginalImages
from limbeck.data.keyed_random import KeyedGenerator
from limbeck.data.workers import computed_in_workers

VIEW = [{"random_resized_crop": {"scale": [0.2, 1.0]}}, "horizontal_flip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight smooth JPEGs of different sizes in two classes."""
    root, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for row in range(8):
        height, width = random.integers(90, 200, 2)
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
        (root / f"class{row % 2}").mkdir(exist_ok=True)
        (root / f"class{row % 2}" / f"{row}.jpg").write_bytes(buffer.getvalue())
    return root


def test_a_crop_has_the_pixels_of_the_file(folder: Path) -> None:
    items = load_items(folder, size=32)
    transform, rows = RandomResizedCrop(scale=(0.1, 0.5)), torch.arange(8)
    generator = KeyedGenerator(0, items.keys, 3, "default/random_resized_crop#0")
    view, _ = Pipeline([transform])(items.originals(rows), items.keys, view=3)
    files = sorted(folder.rglob("*.jpg"))
    for row, numbers in enumerate(generator.uniform(4 * ATTEMPTS).tolist()):
        image = Image.open(files[row])
        top, left, height, width = transform._box(numbers, image.height, image.width)
        box = (left, top, left + width, top + height)
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1) / 255
        assert np.abs(view[row].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_bit_identical_whatever_the_number_of_workers(folder: Path, workers: int) -> None:
    views = {"default": Pipeline.from_spec(VIEW), "plain": Pipeline(), "mixed": Pipeline.from_spec([*VIEW, "mixup"])}
    alone = Dataset(load_items(folder, size=32), 4, views, workers=0)
    several = Dataset(load_items(folder, size=32, memory_limit=0), 4, views, workers=workers)
    for step in (0, 1, 5, 2):
        one, other = (source.batch(BatchPosition(step, seed=7)) for source in (alone, several))
        assert list(one.inputs) == list(other.inputs) == ["default", "plain", "mixed"]
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in views)
        assert torch.equal(one.target, other.target)
        assert torch.equal(one.index, other.index)


def test_batches_leave_workers_as_bytes_and_views_of_a_cache_as_floats(folder: Path) -> None:
    source = Dataset(load_items(folder, size=32), 4, {"default": Pipeline.from_spec(VIEW)}, workers=1)
    (sent,) = computed_in_workers(source._compute, [BatchPosition(0)], 1)
    (viewed,) = computed_in_workers(lambda rows: source.batch_of_views(rows, torch.zeros_like(rows)), [torch.arange(4)], 1)
    assert (sent.inputs["default"].dtype, viewed.inputs["default"].dtype) == (torch.uint8, torch.float32)


def test_nothing_is_decoded_but_what_the_views_crop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = load_items(folder, size=32)
    source = Dataset(items, 4, {"default": Pipeline.from_spec(VIEW)}, workers=0)
    monkeypatch.setattr(type(items.storage), "fetch", lambda *_: pytest.fail("whole images are decoded"))
    assert source.batch(BatchPosition(0)).inputs["default"].shape == (4, 3, 32, 32)


def test_workers_are_the_default_where_items_are_decoded_in_every_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.data.dataset.default_workers", lambda: 5)
    crop, plain = {"default": Pipeline.from_spec(VIEW)}, {"default": Pipeline()}
    fits, large = load_items(folder, size=32), load_items(folder, size=32, memory_limit=0)
    tensors = Items.from_tensors(torch.zeros(8, 3, 4, 4, dtype=torch.uint8))
    assert [Dataset(items, 4, plain).workers for items in (fits, large, tensors)] == [0, 5, 0]
    assert [Dataset(items, 4, crop).workers for items in (fits, large, tensors)] == [5, 5, 0]


def test_boxes_of_the_target_stay_in_pixels_of_the_resized_image(folder: Path) -> None:
    items = load_items(folder, size=32)
    boxed = Items(items.storage, items.keys, {"boxes": torch.zeros(8, 1, 4), "labels": torch.zeros(8, 1).long()}, images=True)
    pipeline = Pipeline.from_spec(VIEW[:1])
    assert isinstance(boxed.originals(torch.arange(2)), OriginalImages)
    assert not pipeline.reads_originals(boxed.target)
    assert pipeline.reads_originals(items.target)
    assert Dataset(boxed, 4, {"default": pipeline}, workers=0).batch(BatchPosition(0)).inputs["default"].shape == (4, 3, 32, 32)


def test_a_file_that_is_left_out_does_not_make_the_others_originals(tmp_path: Path) -> None:
    for row in range(3):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(tmp_path / f"{row}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    sources = sorted(tmp_path.glob("*.png"))
    with pytest.warns(UserWarning, match="1 of 4 images do not decode"):
        storage = load_images(sources, lambda row: sources[row].name, on_error="skip").storage
    assert torch.equal(storage.originals(torch.arange(3)), storage.fetch(torch.arange(3)))
