"""Objectives of answer spans: padding is no position, and labels may be missing or wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives import UNLABELLED, SpanSoftTargets, SpanTargets

S, T = (torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
MASK = torch.arange(6) < torch.tensor([[6], [4], [2]])
TARGET = torch.tensor([[1, 5], [0, 3], [1, 1]])


def test_hard_targets_are_cross_entropies_over_real_tokens():
    expected = [(F.cross_entropy(S[i, :, :length], TARGET[i], reduction="none")).mean() for i, length in enumerate(MASK.sum(1))]
    torch.testing.assert_close(SpanTargets()(S, target=TARGET, mask=MASK), torch.stack(expected))


def test_soft_targets_leave_padding_out_of_both_distributions():
    changed = T.masked_fill(~MASK[:, None], 50.0)
    loss = SpanSoftTargets(temperature=2)(S, T, mask=MASK)
    torch.testing.assert_close(SpanSoftTargets(temperature=2)(S, changed, mask=MASK), loss)
    short = SpanSoftTargets(temperature=2)(S[1:2, :, :4], T[1:2, :, :4])
    torch.testing.assert_close(loss[1:2], short)


def test_an_item_without_a_label_gives_exactly_zero():
    loss = SpanTargets()(S, target=torch.tensor([[1, 5], [UNLABELLED, UNLABELLED], [1, 1]]), mask=MASK)
    assert loss[1] == 0
    assert (loss[[0, 2]] > 0).all()


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"target \(3,\) does not fit student \(3, 2, 6\); the first and the last token"):
        SpanTargets()(S, target=torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="an answer ends at token 6, beyond the 6 tokens"):
        SpanTargets()(S, target=TARGET.clone().fill_(6))
