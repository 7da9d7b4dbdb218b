"""Cross entropy of labels and probabilities, over any leading axes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.objectives import UNLABELLED
from limbeck.objectives.functional.cross_entropy import class_of, cross_entropy

LOGITS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[0, 1, 2], [3, 0, UNLABELLED]])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_those_of_torch_item_by_item(smoothing):
    expected = F.cross_entropy(LOGITS.flatten(0, 1), LABELS.flatten(), reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, smoothing), expected.view(2, 3))
    probabilities = F.one_hot(LABELS[:, :2], 4).float()
    torch.testing.assert_close(cross_entropy(LOGITS[:, :2], probabilities, smoothing), expected.view(2, 3)[:, :2])


def test_the_class_of_probabilities_is_the_largest_and_of_no_label_zero():
    assert class_of(LABELS).tolist() == [[0, 1, 2], [3, 0, 0]]
    assert class_of(torch.tensor([[0.2, 0.8], [0.0, 0.0]])).tolist() == [1, 0]
