"""A user's own things: a file of models and folders of images, small enough for tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from limbeck.data import load_items

MODELS = """
from torch import nn


class Teacher(nn.Module):
    def __init__(self, classes=10, width=8):
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.head = nn.Linear(2 * width, classes)

    def forward(self, images):
        return self.head(self.stage2(self.stage1(images - 0.5)).mean((2, 3)))


def make_student(num_classes=10):
    return Teacher(num_classes, width=4)
"""


def models(folder: Path) -> Path:
    path = folder / "my_models.py"
    path.write_text(MODELS)
    return path


def photos(folder: Path, per_class: int = 8, classes: int = 10, sides: tuple[int, ...] = (8,)) -> Path:
    """`photos/{train,test}/digit-N/*.jpg`; images take their sides from `sides` in turn."""
    items = {split: load_items("digits", split=split) for split in ("train", "test")}
    for split, part in items.items():
        assert part.target is not None
        for label in range(classes):
            place = folder / "photos" / split / f"digit-{label}"
            place.mkdir(parents=True)
            rows = (part.target == label).nonzero()[:per_class, 0]
            for at, pixels in enumerate(part.fetch(rows)):
                side = sides[at % len(sides)]
                Image.fromarray(pixels[0].numpy()).resize((side, side)).save(place / f"{at}.jpg", quality=95)
    return folder / "photos"
