"""Outputs of all items, in batches of any size, by worker processes, and as shares of processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.data import Items
from limbeck.engine import Settings
from limbeck.engine.training import Training
from limbeck.tasks import Classification
from limbeck.tasks.model_outputs import shares_of_processes
from limbeck.utils import distributed


class Sizes(nn.Module):
    """Notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return x * 2


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_outputs_are_in_order_whatever_the_batches(workers: int | None) -> None:
    x = torch.randn(10, 3)
    model, items = Sizes(), Items.from_tensors(x, torch.zeros(10, dtype=torch.int64))
    found = Classification().outputs(model, items, batch_size=4, workers=workers)
    assert torch.equal(found, x * 2)
    assert model.seen == [4, 4, 2]


@pytest.mark.parametrize(("items", "processes"), [(10, 3), (9, 3), (1, 4), (3, 4)])
def test_shares_hold_every_item_and_are_of_one_size(items: int, processes: int) -> None:
    lengths = torch.arange(items).flip(0)
    for given in (None, lengths):
        shares = shares_of_processes(given, items, processes)
        assert len({len(share) for share in shares}) == 1
        assert sorted(set(torch.cat(shares).tolist())) == list(range(items))
        assert sum(map(len, shares)) < items + processes


def test_evaluation_follows_the_training_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(batch_size=64, settings=Settings(accumulate=4))
    assert training.evaluation_batch == 16
    assert Training(batch_size=64, evaluation_batch_size=200).evaluation_batch == 200
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    assert training.evaluation_batch == 8
