"""The error of predicted numbers: items without a label, and labels that do not fit."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives import SquaredError

PREDICTED = torch.tensor([[1.0], [2.0], [3.0]])


def test_an_item_labelled_nan_gives_zero_and_no_gradient():
    predicted = PREDICTED.clone().requires_grad_()
    loss = SquaredError()(predicted, target=torch.tensor([0.0, float("nan"), 5.0]))
    assert loss.tolist() == [1.0, 0.0, 4.0]
    assert torch.autograd.grad(loss.sum(), predicted)[0].flatten().tolist() == [2.0, 0.0, -4.0]


def test_a_column_and_a_vector_give_the_same():
    target = torch.tensor([0.5, 0.5, 0.5])
    assert torch.equal(SquaredError()(PREDICTED, target=target), SquaredError()(PREDICTED[:, 0], target=target))


@pytest.mark.parametrize(
    ("student", "target", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3), r"outputs \(3, 2\); one number for each item is needed"),
        (PREDICTED, torch.tensor([0, 1, 2]), r"labels are int64 \(3,\); numbers of floating point, \[3\], are needed"),
        (PREDICTED, torch.zeros(2), r"labels are float32 \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused(student, target, message):
    with pytest.raises(ValueError, match=message):
        SquaredError()(student, target=target)
