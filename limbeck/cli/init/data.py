"""The user's data: where its parts lie, and what there is to know of it before anything is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from limbeck.cli.init.questions import InitError
from limbeck.data import Items, to_float
from limbeck.data.loading.columns import column_kind, input_column, read_images
from limbeck.data.loading.files import open_table
from limbeck.recipe import DataPart, load, shape_of_data

TEST_NAMES = ("test", "val", "valid", "validation", "eval")
SIDES = (32, 48, 64, 96, 128, 160, 192, 224)  # that images are brought to where they differ or are large
LOOKED_AT = 500  # images whose size is read
GREY = ("1", "L", "LA")


@dataclass(frozen=True)
class Data:
    """Training and test data as the recipe names them, and loaded."""

    train: DataPart
    test: DataPart
    seen: Items
    judged: Items

    @property
    def classes(self) -> int | None:
        return self.seen.classes

    @property
    def channels(self) -> int | None:
        return shape_of_data(self.seen)[1]

    @property
    def labelled(self) -> int:
        return len(self.seen.labelled()) if self.seen.target is not None else 0

    def few(self, count: int = 8) -> Any:
        """Inputs of the first items, as a model receives them."""
        inputs = self.seen.fetch(torch.arange(min(count, len(self.seen))))
        return to_float(inputs) if self.seen.images else inputs

    def describe(self) -> str:
        unlabelled = len(self.seen) - self.labelled
        without = f", {unlabelled:,} without a label" if unlabelled else ""
        shape = "×".join(str(side) for side in self.few(1).shape[1:]) if isinstance(self.few(1), torch.Tensor) else "text"
        return f"{len(self.seen):,} training items ({self.classes} classes, {shape}{without}), {len(self.judged):,} test items"


def parts(train: str, test: str | None, **options: Any) -> tuple[DataPart, DataPart | None]:
    """Both parts; the test data is found where its name tells it: a split, a neighbour of `train`, a folder beside it."""
    if train == "digits" and test in (None, "digits"):
        return DataPart(path="digits", split="train", **options), DataPart(path="digits", split="test", **options)
    place = Path(train)
    if (place / "train").is_dir():
        place = place / "train"
    found = test or next((str(near) for near in _neighbours(place) if near.exists()), None)
    return DataPart(path=str(place), **options), DataPart(path=found, **options) if found else None


def _neighbours(train: Path) -> Iterable[Path]:
    if "train" in train.name:
        yield from (train.with_name(train.name.replace("training", "train").replace("train", name)) for name in TEST_NAMES)


def look(train: DataPart, test: DataPart) -> Data:
    """Load both parts and hold them against each other.

    Raises:
        InitError: no labels, or classes in the test data that are not those of the training data.
    """
    seen, judged = load(train), load(test)
    if seen.classes is None:
        raise InitError(f"{train.path}: the training data has no labels; name their column with --label")
    if seen.class_names and judged.class_names and seen.class_names != judged.class_names:
        odd = sorted(set(seen.class_names) ^ set(judged.class_names))
        raise InitError(f"the classes of {train.path} and {test.path} differ: {', '.join(odd[:6]) or 'in their order'}")
    return Data(train, test, seen, judged)


def image_format(part: DataPart) -> tuple[int | None, int | None]:
    """(side in pixels, channels) that images should be brought to; None where they agree and are not large.

    Only the headers of some images are read.
    """
    if part.path == "digits":
        return None, None
    table = open_table(part.path, part.split)
    if isinstance(part.input, list):  # pairs of texts
        return None, None
    column = input_column(table, part.input)
    if column_kind(table, column) != "image":
        return None, None
    sources = read_images(table, column)
    headers = [header for source in sources[:: max(1, len(sources) // LOOKED_AT)] if (header := _header(source)) is not None]
    if not headers:
        return None, None
    sizes, modes = {size for size, _ in headers}, {mode in GREY for _, mode in headers}
    short = median(min(size) for size, _ in headers)
    fits = len(sizes) == 1 and short <= SIDES[-1] and len(set(next(iter(sizes)))) == 1
    side = None if fits else max((side for side in SIDES if side <= short), default=int(short))
    return side, 3 if len(modes) > 1 else None


def _header(source: Any) -> tuple[tuple[int, int], str] | None:
    """Size and mode of an encoded image; None where it does not open, which loading will tell."""
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.size, image.mode
    except (OSError, ValueError, AttributeError):
        return None
