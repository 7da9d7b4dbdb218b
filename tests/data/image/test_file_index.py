"""Files that have not changed are not read again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.data import load_items
from limbeck.data.image import inspect as inspection
from limbeck.data.image.inspect import inspect_images
from limbeck.utils.cache_folder import cache_folder
from tests.data.loading.files import PIXELS, folder_of_images, png

LONG_AGO = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    root = folder_of_images(tmp_path / "images")
    for file in root.rglob("*.*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return root


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from now on."""
    files: list[str] = []
    one = inspection.inspect_image

    def noted(source: object, *, decode: bool = False) -> inspection.Header:
        files.append(Path(str(source)).name)
        return one(source, decode=decode)

    monkeypatch.setattr(inspection, "inspect_image", noted)
    return files


def test_a_second_start_reads_only_what_has_changed(folder: Path, read: list[str]) -> None:
    first = load_items(folder)
    assert sorted(read) == ["a.PNG", "b.png", "z.png"]
    read.clear()
    second = load_items(folder)
    assert read == []
    assert torch.equal(first.keys, second.keys)
    assert torch.equal(first.fetch(torch.arange(3)), second.fetch(torch.arange(3)))
    changed = folder / "dog" / "b.png"
    changed.write_bytes(png(PIXELS[5]))
    os.utime(changed, (LONG_AGO + 1, LONG_AGO + 1))
    (folder / "cat" / "new.png").write_bytes(png(PIXELS[4]))
    third = load_items(folder)
    assert sorted(read) == ["b.png", "new.png"]
    assert len(set(third.keys.tolist()) - set(first.keys.tolist())) == 2
    read.clear()
    load_items(folder)
    assert read == ["new.png"], "a file that changed just now may change again within the resolution of its time"


def test_images_that_must_decode_are_decoded_once(folder: Path, read: list[str]) -> None:
    load_items(folder)
    read.clear()
    load_items(folder, on_error="skip")
    assert len(read) == 3, "so far only their headers are known"
    read.clear()
    load_items(folder, on_error="skip")
    load_items(folder)
    assert read == []


def test_broken_files_are_looked_at_again(folder: Path, read: list[str]) -> None:
    (folder / "cat" / "broken.png").write_bytes(b"nothing")
    os.utime(folder / "cat" / "broken.png", (LONG_AGO, LONG_AGO))
    for _ in range(2):
        read.clear()
        with pytest.raises(ValueError, match=r"cat/broken\.png"):
            load_items(folder)
    assert read == ["broken.png"]


@pytest.mark.parametrize("damage", ["flip", "cut", "junk", "unwritable"])
def test_a_damaged_index_is_none(folder: Path, read: list[str], damage: str) -> None:
    first = load_items(folder)
    (index,) = cache_folder("images").iterdir()
    content = bytearray(index.read_bytes())
    if damage == "flip":
        content[40] ^= 1
    index.write_bytes(content[:100] if damage == "cut" else b"junk" if damage == "junk" else bytes(content))
    if damage == "unwritable":
        index.unlink()
        index.parent.rmdir()
        index.parent.write_text("a file where the folder should be")
    read.clear()
    assert torch.equal(load_items(folder).keys, first.keys)
    assert len(read) == 3


def test_bytes_and_missing_files_stand_beside_files(folder: Path) -> None:
    sources = [png(PIXELS[3]), str(folder / "dog" / "b.png"), None, str(folder / "none.png")]
    for _ in range(2):
        headers = inspect_images(sources)
        assert headers.heights.tolist() == [5, 5, 0, 0]
        assert sorted(headers.broken) == [2, 3]
        assert isinstance(headers.broken[3], FileNotFoundError)
    assert len(np.unique(headers.hashes[:2])) == 2


def test_a_file_that_changes_or_goes_during_the_run_is_named(folder: Path) -> None:
    """Its key, and so what a cache holds of it, belongs to the image that was there."""
    items = load_items(folder)
    files = sorted(folder.rglob("*.*"))
    row = torch.tensor([0])
    os.utime(files[0])
    items.fetch(row)  # the same bytes, written again
    items = load_items(folder)
    files[0].write_bytes(png(PIXELS[-1]))
    with pytest.raises(ValueError, match=rf"{files[0].name} has changed since its images were read; start again"):
        items.fetch(row)
    files[0].unlink()
    with pytest.raises(ValueError, match=rf"{files[0].name} is gone since"):
        items.fetch(row)
