"""Batches: which entries have a label."""

from __future__ import annotations

import torch

from limbeck.core.labels import label_mask

NAN = float("nan")


def test_which_entries_of_a_batch_have_a_label() -> None:
    assert label_mask(torch.tensor([0.5, NAN, 0.0])).tolist() == [1, 0, 1]
    assert label_mask(torch.tensor([3, -100])).tolist() == [1, 0]
    assert label_mask(torch.tensor([[0.5, 0.5], [0, 0]])).tolist() == [1, 0]
    tokens = torch.tensor([[-100, 4, 5], [-100, -100, -100]])
    assert label_mask(tokens).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert label_mask(tokens, per_item=True).tolist() == [1, 0]
    for target in (torch.tensor([0.5, NAN]), torch.tensor([[0.5, 0.5], [0, 0]])):
        assert label_mask(target, per_item=True).tolist() == [1, 0]
