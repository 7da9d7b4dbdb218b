"""Relations between tokens: heads, widths and memory."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives import (
    SelfAttentionRelations,
    ValueRelation,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_heads_side_by_side_are_the_same_as_heads_apart():
    s, t = normal(2, 4, 5, 3), normal(2, 4, 5, 6, seed=1)
    ours, theirs = (x.transpose(1, 2).flatten(2) for x in (s, t))
    apart = ValueRelation()(s, t)
    for objective, pair in ((ValueRelation(heads=4), (s, t)), (ValueRelation(heads=4), (ours, theirs))):
        assert torch.equal(objective(*pair), apart)
    again = SelfAttentionRelations(heads=4)((ours,) * 3, (t,) * 3)
    torch.testing.assert_close(again, 3 * apart)


def test_relation_heads_free_the_head_counts():
    s, t = normal(2, 2, 5, 12), normal(2, 3, 5, 16, seed=1)
    loss = SelfAttentionRelations(heads=8)((s, s, s), (t, t, t))
    torch.testing.assert_close(loss, 3 * ValueRelation(heads=8)(s, t))
    with pytest.raises(ValueError, match=r"value_relation: student \(2, 2, 5, 12\) and teacher \(2, 3, 5, 16\) do not fit"):
        ValueRelation()(s, t)


def test_heads_that_do_not_divide_name_those_that_do():
    side = (torch.zeros(2, 5, 312),) * 3
    wide = (torch.zeros(2, 12, 5, 64),) * 3
    with pytest.raises(
        ValueError, match=r"heads is 48, .* widths 312 and 768 .*; use one of 1, 2, 3, 4, 6, 8, 12, 24$"
    ) as error:
        SelfAttentionRelations()(side, wide)
    assert "(2, 5, 312)" in str(error.value)
    assert "(2, 12, 5, 64)" in str(error.value)


def test_relations_need_three_taps_and_equal_tokens():
    x = torch.zeros(2, 5, 48)
    with pytest.raises(ValueError, match="self_attention_relations: the student side has 1 taps; it needs 3"):
        SelfAttentionRelations()(x, x)
    with pytest.raises(ValueError, match=r"\(2, 5, 48\) and teacher \(2, 4, 48\) do not fit; equal batches and token counts"):
        SelfAttentionRelations()((x,) * 3, (x[:, :4],) * 3)


def test_no_relation_waits_for_the_backward_pass():
    s, t = torch.randn(2, 40, 24, requires_grad=True), torch.randn(2, 40, 48)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        SelfAttentionRelations(heads=12)((s, s, s), (t, t, t)).sum().backward()
    assert 0 < max(kept) <= s.numel()


def test_relations_of_equal_sides_are_exactly_nothing():
    x = torch.randn(2, 6, 96, requires_grad=True)
    loss = SelfAttentionRelations()((x, x, x), (x.detach(),) * 3)
    assert not loss.any()
    assert not torch.autograd.grad(loss.sum(), x)[0].any()
