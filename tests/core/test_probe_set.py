"""The probes of all actors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, trained
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference


class Net(nn.Module):
    """A model that notes how it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)
        self.runs: list[tuple[bool, bool]] = []  # in training mode, with gradient

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append((self.training, torch.is_grad_enabled()))
        return self.head(self.norm(self.body(x)))


def test_a_deleted_probe_set_leaves_no_hooks():
    s = Net()
    probes = ProbeSet(Actors({"student": trained(s)}))
    probes.add([Reference("student", tap="body")])
    assert s.body._forward_hooks
    del probes
    assert not s.body._forward_hooks
