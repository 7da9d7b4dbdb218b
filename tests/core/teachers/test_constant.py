"""A constant target."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.teachers import VirtualTeacher
from limbeck.core.terms import Term
from limbeck.objectives import SoftTargets

STUDENT = torch.randn(4, 5, dtype=torch.float64)
X, Y = torch.randn(4, 3), torch.tensor([0, 1, 4, 2])


def answer(teacher, signals=(), target=None, student=STUDENT):
    return teacher.make_target(list(signals), Batch({"default": X}, target=target), student)


def test_a_virtual_teacher_is_right_with_the_given_probability():
    p = answer(VirtualTeacher(0.8), target=Y).softmax(-1)
    expected = torch.full((4, 5), 0.05, dtype=torch.float64)
    expected[torch.arange(4), Y] = 0.8
    torch.testing.assert_close(p, expected)
    torch.testing.assert_close(answer(VirtualTeacher(0.8), target=F.one_hot(Y, 5).double()).softmax(-1), expected)


def test_a_virtual_teacher_says_nothing_about_items_without_a_label():
    for target in (torch.tensor([0, -100, 4, 2]), F.one_hot(Y, 5).double() * torch.tensor([[1], [0], [1], [1]])):
        given = answer(VirtualTeacher(0.8), target=target)
        assert torch.equal(given[1], STUDENT[1])
        assert given[0].argmax() == 0


def test_a_virtual_teacher_must_be_better_than_chance():
    with pytest.raises(ValueError, match="between 0 and 1"):
        VirtualTeacher(1)
    with pytest.raises(TermError, match=r"correct is 0.2; expected more than one in 5"):
        Criterion([Term(SoftTargets(), teacher=VirtualTeacher(0.2))], nn.Linear(3, 5), example=(X, Y))
    with pytest.raises(ValueError, match="needs labels"):
        answer(VirtualTeacher(0.8))


def test_label_smoothing_is_a_virtual_teacher():
    """KL to the constant target is cross entropy with smoothed labels, up to the target's own entropy."""
    smoothing = 0.25  # mass spread over all five classes: the label keeps 1 − 0.25·4/5 = 0.8
    target = answer(VirtualTeacher(0.8), target=Y)
    entropy = -(0.8 * math.log(0.8) + 4 * 0.05 * math.log(0.05))
    smoothed = F.cross_entropy(STUDENT, Y, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(SoftTargets(temperature=1)(STUDENT, target) + entropy, smoothed)
