"""The size of the images that a model was trained on, kept beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from limbeck.data.items import Items
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import read_json

FILE = "image.json"


def image_size(items: Items) -> tuple[int, int] | None:
    """Height and width of the images of items; None if they are none, or have no item."""
    if items.storage.input_names or not len(items):
        return None
    shape = tuple(getattr(items.fetch(torch.tensor([0])), "shape", ()))
    return (shape[2], shape[3]) if len(shape) == 4 else None


def save_image_size(size: tuple[int, int], folder: Path) -> None:
    """Writes height and width into a model's folder."""
    write_text_atomic(folder / FILE, json.dumps({"height": size[0], "width": size[1]}) + "\n")


def saved_image_size(folder: Path) -> tuple[int, int] | None:
    """Height and width that `save_image_size` wrote; None if there are none that can be read."""
    try:
        content = read_json(folder / FILE)
        return int(content["height"]), int(content["width"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
