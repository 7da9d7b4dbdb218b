"""A query about a tiny teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from limbeck.core.actors import frozen
from limbeck.data import Dataset, Items
from limbeck.teacher_cache import TeacherQuery

ITEMS = 10


def query(*taps: str, classes: int = 3, seed: int = 0, **options: Any) -> TeacherQuery:
    """Ten items of four numbers, and two linear layers."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, classes)).eval()
    inputs = torch.randn(ITEMS, 4, generator=torch.Generator().manual_seed(0))
    items = Items.from_tensors(inputs, torch.zeros(ITEMS, dtype=torch.int64), classes=classes)
    return TeacherQuery(frozen(model), Dataset(items, 4, view_count=2), taps or ("logits",), [], **options)
