"""`load_items`, from file to items."""

from __future__ import annotations

import io
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from limbeck.data import AudioOptions, load_fields, load_items
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size=0: expected a whole number, 1 or more"),
        ({"size": (8, -1)}, "size=-1: expected a whole number, 1 or more"),
        ({"size": 3.5}, "size=3.5: expected a whole number"),
        ({"size": (3,)}, r"size=\(3,\): expected a number of pixels, or \(height, width\)"),
        ({"channels": 2}, r"channels=2: expected 1 \(grey\) or 3 \(RGB\)"),
        ({"limit": 0}, "limit=0: expected a whole number, 1 or more"),
        ({"limit": True}, "limit=True: expected a whole number, 1 or more"),
        ({"memory_limit": "2GB"}, "memory_limit='2GB': expected a whole number, 0 or more"),
        ({"memory_limit": -1}, "memory_limit=-1: expected a whole number, 0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, 2])
    for load in (load_items, partial(load_fields, fields=["image"], reads={"student": "image"})):
        with pytest.raises(ValueError, match=message):
            load(file, **options)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        load_items("digits", **options)


def test_options_that_no_field_reads_are_refused(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", text=["a", "b"], label=[0, 1])
    for options, kind in (({"size": 8}, "images"), ({"audio": AudioOptions()}, "sounds")):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: no field is of {kind}; leave it out"):
            load_fields(file, ["text"], {"student": "text"}, **options)  # type: ignore[arg-type]


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
