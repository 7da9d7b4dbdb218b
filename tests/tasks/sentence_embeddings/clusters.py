"""Vectors in clusters, one for each class."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn(seed: int, count: int, width: int = 6, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Vectors that lie around a centre for each class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = torch.randn(classes, width, generator=generator)
    return centres[labels] + 0.8 * torch.randn(count, width, generator=generator), labels
