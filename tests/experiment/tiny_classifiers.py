"""A tiny classifier of digits, and a training of a few steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck import Training
from limbeck.engine import Settings, steps

QUICK = Training(
    length=steps(8), batch_size=32, settings=Settings(progress=False, trackers=(), checkpoint_every=3, log_every=4)
)


class Own(nn.Module):
    """A module that Limbeck has not built."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.body(x.flatten(1).float())))
        return logits


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
