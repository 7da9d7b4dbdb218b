"""Slices of a batch, so that large intermediate results are computed for a few items at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

CHUNK = {"cpu": 2**17}  # numbers at a time: about a core's cache
CHUNK_ELSEWHERE = 2**26  # accelerators need few, large kernels


def chunk_slices(items: int, size: int, device: torch.device) -> Iterator[slice]:
    """Slices of the items; each item needs `size` numbers."""
    step = max(1, CHUNK.get(device.type, CHUNK_ELSEWHERE) // max(1, size))
    return (slice(start, start + step) for start in range(0, items, step))
