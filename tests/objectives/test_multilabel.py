"""Independent labels: unknown ones, labels that do not fit, large logits, and the scale of the loss."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives import BinaryCrossEntropy, BinarySoftTargets

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


def test_an_unknown_label_gives_nothing_and_no_gradient():
    student = LOGITS.clone().requires_grad_()
    loss = BinaryCrossEntropy()(student, target=torch.tensor([[1, -100, 0], [-100, -100, -100]]))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        LOGITS[0, [0, 2]], torch.tensor([1.0, 0.0]), reduction="sum"
    )
    assert loss.tolist() == [pytest.approx(float(expected)), 0.0]
    gradient = torch.autograd.grad(loss.sum(), student)[0]
    assert gradient[0, 1] == 0
    assert gradient[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), r"target \(\(2,\), 'torch.int64'\) does not fit student \(2, 3\)"),
        (torch.zeros(2, 3), r"integers 0, 1 or -100 are needed for each"),
        (torch.full((2, 3), 2), "label 2 is neither 0 nor 1"),
        ({"labels": torch.zeros(2, 3)}, r"target \['labels'\] does not fit"),
    ],
)
def test_labels_that_do_not_fit_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropy()(LOGITS, target=target)


def test_a_temperature_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="binary_soft_targets: temperature is 0; use a value above 0"):
        BinarySoftTargets(temperature=0)


def test_large_logits_are_finite():
    student = torch.tensor([[200.0, -200.0]]).requires_grad_()
    loss = BinarySoftTargets()(student, torch.tensor([[-200.0, 200.0]]))
    assert loss.item() == pytest.approx(400)
    assert torch.autograd.grad(loss.sum(), student)[0].tolist() == [[1.0, -1.0]]


def test_the_loss_is_a_sum_over_classes_and_does_not_shrink_with_the_temperature():
    teacher = LOGITS.flip(1)
    once = BinarySoftTargets(temperature=2)(LOGITS, teacher)
    twice = BinarySoftTargets(temperature=2)(LOGITS.repeat(1, 2), teacher.repeat(1, 2))
    torch.testing.assert_close(twice, 2 * once)
    hot, hotter = (BinarySoftTargets(temperature=T)(LOGITS, teacher) for T in (100.0, 200.0))
    torch.testing.assert_close(hot, ((LOGITS - teacher) ** 2 / 8).sum(1), rtol=1e-3, atol=1e-4)  # its limit for large T
    torch.testing.assert_close(hot, hotter, rtol=1e-3, atol=1e-3)
