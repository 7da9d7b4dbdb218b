"""Weights of items, computed from the signals."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.core.item_weights import StudentUncertainty, TeacherConfidence
from limbeck.core.signals import LinearLogits, TopK

SURE, UNSURE = torch.tensor([50.0, 0, 0, 0]), torch.zeros(4)
BOTH = torch.stack([SURE, UNSURE]).requires_grad_()


def test_sure_teachers_and_unsure_students_count_more():
    torch.testing.assert_close(TeacherConfidence()(UNSURE, BOTH, None), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(StudentUncertainty()(BOTH, None, None), torch.tensor([0.0, 1.0]))


def test_item_weights_are_entropies_and_no_part_of_the_graph():
    logits = torch.randn(6, 5, requires_grad=True)
    expected = torch.distributions.Categorical(logits=logits).entropy() / math.log(5)
    weight = StudentUncertainty()(logits, None, None)
    torch.testing.assert_close(weight, expected.detach())
    assert not weight.requires_grad


def test_item_weights_of_other_signals():
    signal = LinearLogits(torch.randn(3, 4), torch.randn(5, 4))
    torch.testing.assert_close(StudentUncertainty()(signal, None, None), StudentUncertainty()(signal.dense(), None, None))
    with pytest.raises(ValueError, match="one dense signal of logits; got TopK"):
        TeacherConfidence()(BOTH, TopK(torch.rand(2, 1), torch.zeros(2, 1), torch.rand(2)), None)
    with pytest.raises(ValueError, match="no teacher signal"):
        TeacherConfidence()(BOTH, None, None)
