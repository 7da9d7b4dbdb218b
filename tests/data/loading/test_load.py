"""`load_items`, from file to items."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from limbeck.data import load_items
from limbeck.data.content_keys import content_key
from tests.data.loading.files import CELLS, EXPECTED, PIXELS, everything, parquet, png, targets


def test_parquet_of_images_and_class_names_beside_it(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, None])
    (tmp_path / "classes.json").write_text('["cat", "dog", "eel", "fox"]')
    items = load_items(file)
    assert items.images
    assert torch.equal(everything(items), EXPECTED)
    assert targets(items) == [0, 1, 2, 0, 1, -100]
    assert items.class_names == ["cat", "dog", "eel", "fox"]
    assert items.classes == 4
    assert items.keys[0] == content_key(png(PIXELS[0]))
    assert load_items(file, label=False).target is None


def cifar10() -> Path | None:
    root = Path(os.environ.get("LIMBECK_DATA", "/nonexistent"))
    return next((folder for folder in (root / "cifar10", root / "data" / "cifar10") if folder.is_dir()), None)


@pytest.mark.skipif(cifar10() is None, reason="LIMBECK_DATA does not point to a folder that holds cifar10")
def test_cifar10_loads_fast_enough() -> None:
    folder = cifar10()
    assert folder is not None
    cells = pq.read_table(folder / "train.parquet", columns=["image"])["image"].to_pylist()[:5000]
    started = time.process_time()
    for encoded in cells:
        np.asarray(Image.open(io.BytesIO(encoded["bytes"])).convert("RGB"))
    decoding = 10 * (time.process_time() - started)
    started = time.process_time()
    items = load_items(folder, split="train")
    assert time.process_time() - started < 2 * decoding, "keys and columns are to cost little beside the decoding"
    assert everything(items).shape == (50_000, 3, 32, 32)
    assert items.class_names is not None
    assert items.class_names[0] == "airplane"
    assert torch.bincount(torch.tensor(targets(items))).tolist() == [5000] * 10
