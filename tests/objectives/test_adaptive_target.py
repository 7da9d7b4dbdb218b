"""The adaptive target: by hand, and for items without a label."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.core.labels import UNLABELLED
from limbeck.objectives import AdaptiveTarget, SoftTargets

S, T = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
Y = torch.tensor([0, 1])


def test_the_label_weighs_more_the_surer_the_teacher_is_of_it():
    log_q = S.log_softmax(-1)
    expected = torch.stack(
        [
            -((1.75**2 - 1) * log_q[0, 0] + 0.25**2 * log_q[0, 1]),  # the teacher says 3/4 and 1/4
            -(0.5**2 * log_q[1, 0] + (1.5**2 - 1) * log_q[1, 1]),
        ]
    )
    torch.testing.assert_close(AdaptiveTarget(gamma=2)(S, T, target=Y), expected)
    only = expected[0] + 0.25**2 * log_q[0, 1] - 0.25 * log_q[0, 1]
    torch.testing.assert_close(AdaptiveTarget(gamma=2, label_only=True)(S, T, target=Y)[0], only)


def test_with_gamma_one_it_has_the_gradient_of_soft_targets():
    found, expected = S.clone().requires_grad_(), S.clone().requires_grad_()
    AdaptiveTarget(temperature=2)(found, T, target=Y).sum().backward()
    SoftTargets(temperature=2)(expected, T).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_items_without_a_label_learn_the_teachers_distribution():
    some = torch.tensor([0, UNLABELLED])
    adaptive, plain = AdaptiveTarget(gamma=1.5), AdaptiveTarget()
    loss = adaptive(S, T, target=some)
    torch.testing.assert_close(loss[1], plain(S, T)[1])
    assert loss[0] != plain(S, T)[0]
    torch.testing.assert_close(adaptive(S, T), plain(S, T))


@pytest.mark.parametrize(("arguments", "message"), [({"gamma": 0.5}, "gamma is 0.5"), ({"temperature": 0}, "temperature is 0")])
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveTarget(**arguments)


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match="label 2 is out of range for 2 classes"):
        AdaptiveTarget()(S, T, target=torch.tensor([0, 2]))
