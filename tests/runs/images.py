"""A folder of small images, one subfolder a class."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def write_images(folder: Path, classes: list[str], count: int = 3, side: int = 8) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (side, side), 20 * label + number).save(folder / name / f"{number}.png")
