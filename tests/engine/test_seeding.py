"""Seeds from several numbers."""

from __future__ import annotations

import torch

from limbeck.engine.seeding import mix_seeds, seed_dropout


def test_every_number_and_their_order_count() -> None:
    seeds = [mix_seeds(*numbers) for numbers in ((0, 1), (1, 0), (0, 1, 0), (1,), (11,), (0, 11))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix_seeds(3, 4) == mix_seeds(3, 4)


def test_dropout_follows_its_seed() -> None:
    masks = []
    for seed in (5, 5, 6):
        seed_dropout(seed, torch.device("cpu"))
        masks.append(torch.nn.functional.dropout(torch.ones(100)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
