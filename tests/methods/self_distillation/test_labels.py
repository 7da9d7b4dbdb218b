"""Methods whose teacher knows nothing but labels: another item of the class, a virtual teacher, smoothed labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import methods
from limbeck.core.forward_cache import ForwardCache
from tests.methods.two_samples import ONE_HOT, OTHER, TASK, X, assert_equal, batch, criterion, gradients, net, of_linear


def test_cs_kd_learns_from_the_partner_whose_prediction_is_detached() -> None:
    model, given = net(1), batch(partner=OTHER)
    made = criterion(methods.cs_kd(task=TASK, temperature=4, weight=2)["terms"], {"student": model}, given)
    cache = ForwardCache(made.probes, given, made.plan)
    found = gradients(made(given, forward_cache=cache)["loss"], [model])
    assert cache.forwards == 2
    p = model(X).softmax(-1).detach()
    pull = 2 * 4 * ((model(X) / 4).softmax(-1) - (model(OTHER) / 4).softmax(-1)).detach()
    assert_equal(found, of_linear(((p - ONE_HOT) + pull) / 2))  # nothing reaches the weights through OTHER


def test_the_virtual_teacher_at_temperature_one_is_label_smoothing() -> None:
    model, alpha, correct = net(1), 0.3, 0.9
    virtual = methods.virtual_teacher(task=TASK, correct=correct, temperature=1, alpha=alpha)["terms"]
    smoothed = methods.label_smoothing(smoothing=alpha * (1 - correct) * 3 / 2)["terms"]
    found = [
        gradients(criterion(terms, {"student": model}, batch())(batch())["loss"], [model]) for terms in (virtual, smoothed)
    ]
    assert_equal(*found)


def test_label_smoothing_spreads_a_share_of_the_label_over_all_classes() -> None:
    model = net(1)
    made = criterion(methods.label_smoothing(smoothing=0.3)["terms"], {"student": model}, batch())
    found = gradients(made(batch())["loss"], [model])
    target = 0.7 * ONE_HOT + torch.full((2, 3), 0.1)
    assert_equal(found, of_linear((model(X).softmax(-1).detach() - target) / 2))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cs_kd", {"weight": 0}, "weight is 0"),
        ("virtual_teacher", {"alpha": 1}, "alpha is 1"),
        ("virtual_teacher", {"correct": 1}, "correct is 1"),
        ("label_smoothing", {"smoothing": 0}, "smoothing is 0"),
    ],
)
def test_values_out_of_range_are_refused(name: str, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.call(name, arguments, task=TASK)
