"""Small networks that the tests of the core share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(6, 3, generator=GENERATOR)
Y = torch.tensor([0, 1, 2, 3, 0, 1])


class Net(nn.Module):
    """Two layers, dropout between them so that the mode shows, and a count of runs."""

    def __init__(self, width: int = 5, classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.norm = nn.Linear(3, width), nn.BatchNorm1d(width)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(width, classes)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.head(self.drop(self.norm(self.body(x))))


def student() -> Net:
    return Net().eval()  # without dropout, so that formulas can be written out


def teacher() -> Net:
    return Net(7, seed=1).train()  # as it is left by who trained it
