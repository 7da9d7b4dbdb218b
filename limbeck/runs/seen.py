"""The items that a run has trained on or chosen by, by content key: other data is compared with them when it is evaluated."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from limbeck.data import Items
from limbeck.evaluation.shared_items import SharedItems
from limbeck.experiment.checks.shared_items import SeenItems
from limbeck.utils.atomic_files import write_atomic

FILE = "seen.safetensors"


def save_seen(seen: SeenItems, folder: Path) -> None:
    """Writes the keys of the items, 8 bytes each."""
    keys: dict[str, Tensor] = {"training": seen.training.sort().values, "validation": seen.validation.sort().values}
    write_atomic(folder / FILE, safetensors.torch.save(keys))


def seen_before(folder: Path, items: Items) -> SharedItems | None:
    """Returns the items that a run has trained on or chosen by; None if there are none, or the run has not noted its own."""
    try:
        keys = safetensors.torch.load_file(folder / FILE)
        seen = SeenItems(keys["training"], keys["validation"])
    except (OSError, SafetensorError, KeyError):  # an older run
        return None
    return seen.shared_with(items)
