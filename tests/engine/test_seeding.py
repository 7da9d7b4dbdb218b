"""Seeds of the generators that models draw from."""

from __future__ import annotations

import torch

from limbeck.engine.seeding import seed_dropout


def test_dropout_follows_its_seed() -> None:
    masks = []
    for seed in (5, 5, 6):
        seed_dropout(seed, torch.device("cpu"))
        masks.append(torch.nn.functional.dropout(torch.ones(100)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
