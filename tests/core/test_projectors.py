"""Projectors: every architecture onto every other, by hand and by shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.adapters import build_adapter
from limbeck.core.errors import AdapterError
from limbeck.core.projectors import GroupedLinear
from limbeck.core.signals import Match

MAP, TOKENS, HEADS = (2, 3, 8, 8), (2, 17, 5), (2, 4, 17, 6)


def build(spec, student, teacher):
    torch.manual_seed(0)
    return build_adapter(spec, student, teacher, Match.EVERYTHING)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (MAP, TOKENS, (2, 16, 5)),
        (TOKENS, MAP, (2, 64, 3)),
        (MAP, (2, 7, 4, 6), (2, 24, 7)),
        (TOKENS, (2, 66, 4), (2, 64, 4)),  # class and distillation token on the teacher's side
    ],
)
def test_group_linear_gives_tokens_on_the_teachers_grid(student, teacher, expected):
    adapter = build("group_linear", student, teacher)
    ours, theirs = adapter(torch.randn(student), torch.randn(teacher))
    assert ours.shape == theirs.shape == expected
    ours.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters())
    assert not list(adapter.teacher_path.parameters())


def test_positions_of_a_neighbourhood_share_a_map_and_others_do_not():
    torch.manual_seed(0)
    layer, x = GroupedLinear(3, 2, 8, 8), torch.randn(2, 64, 3)
    assert layer.weight.shape == (4, 2, 3)
    y = layer(x)
    for row, column in ((0, 0), (3, 3), (3, 4), (4, 3), (7, 7)):
        group = 2 * (row // 4) + column // 4
        expected = x[:, 8 * row + column] @ layer.weight[group].T + layer.bias[group]
        torch.testing.assert_close(y[:, 8 * row + column], expected)


def test_attention_heads_are_a_convolution_split_into_heads():
    adapter = build("attention_heads", (2, 3, 4, 4), HEADS)
    (convolution,) = [m for m in adapter.student_path.modules() if isinstance(m, nn.Conv2d)]
    x, t = torch.randn(2, 3, 4, 4), torch.randn(HEADS)
    ours, theirs = adapter(x, t)
    assert torch.equal(theirs, t[:, :, 1:])
    whole = convolution(x)
    torch.testing.assert_close(ours[:, 2, 4 * 1 + 3], whole[:, 12:18, 1, 3])


def test_attention_heads_take_tokens_and_other_sizes():
    for student in (MAP, (2, 65, 5)):
        ours, theirs = build("attention_heads", student, HEADS)(torch.randn(student), torch.randn(HEADS))
        assert ours.shape == theirs.shape == (2, 4, 16, 6)


@pytest.mark.parametrize(
    ("spec", "student", "teacher", "message"),
    [
        ("group_linear", (2, 3), MAP, "no positions in common"),
        ("group_linear", MAP, (2, 5), "no positions in common"),
        ("group_linear", MAP, (2, 15, 5), "15 tokens are no square grid"),
        ("attention_heads", MAP, TOKENS, r"tap queries\(P\), keys\(P\) or values\(P\)"),
        ("attention_heads", MAP, (2, 4, 15, 6), "15 tokens are no square grid"),
        ("attention_heads", (2, 3), HEADS, "no positions in common"),
    ],
)
def test_what_has_no_positions_is_refused(spec, student, teacher, message):
    with pytest.raises(AdapterError, match=message):
        build(spec, student, teacher)
