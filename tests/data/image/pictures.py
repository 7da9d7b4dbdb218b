"""Items of random images, and their views."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.data import Items, Pipeline


def make_items(count: int = 61, channels: int = 3, height: int = 13, width: int = 11, seed: int = 0) -> Items:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)
    target = torch.randint(0, 5, (count,), generator=generator)
    target[::7] = -100
    return Items.from_tensors(images, target, classes=5)


def look(
    pipeline: Pipeline, items: Items, rows: Tensor, seed: int = 0, view: int = 0, stream: str = "default"
) -> tuple[Tensor, Tensor]:
    assert items.target is not None
    images, target = pipeline(
        items.fetch(rows), items.keys[rows], seed=seed, view=view, stream=stream, target=items.target[rows], pool=items
    )
    assert target is not None
    return images, target


def identical(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.stride() == second.stride() and torch.equal(first, second)
