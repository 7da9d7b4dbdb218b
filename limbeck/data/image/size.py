"""The shape of the images that a model was trained on, kept beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from limbeck.data.items import Items
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import read_json

FILE = "image.json"


def image_shape(items: Items) -> tuple[int, int, int] | None:
    """Channels, height and width of the images of items; None if they are none, or have no item."""
    if items.storage.input_names or not len(items):
        return None
    shape = tuple(getattr(items.fetch(torch.tensor([0])), "shape", ()))
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else None


def save_image_shape(shape: tuple[int, int, int], folder: Path) -> None:
    """Writes channels, height and width into a model's folder."""
    channels, height, width = shape
    write_text_atomic(folder / FILE, json.dumps({"channels": channels, "height": height, "width": width}) + "\n")


def saved_image_shape(folder: Path) -> tuple[int | None, int, int] | None:
    """Channels, height and width that `save_image_shape` wrote; None if there are none that can be read. Older files have no
    channels."""
    try:
        content = read_json(folder / FILE)
        channels = content.get("channels")
        return None if channels is None else int(channels), int(content["height"]), int(content["width"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
