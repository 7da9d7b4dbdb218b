"""Objectives on made inputs: targets as probabilities, the distances' gradients, arguments that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import objectives
from limbeck.objectives import ClassBalance, ClassImpression, Disagreement, Smoothness


def test_an_impression_is_a_divergence_from_the_probabilities_that_are_to_be_shown() -> None:
    y, z = torch.tensor([[0.7, 0.3, 0.0]]), torch.tensor([[1.0, 0.0, -2.0]])
    q = (z / 4).softmax(-1)
    expected = 16 * (0.7 * (0.7 / q[0, 0]).log() + 0.3 * (0.3 / q[0, 1]).log())
    torch.testing.assert_close(ClassImpression(temperature=4)(z, target=y), expected[None])
    torch.testing.assert_close(ClassImpression(temperature=4)(4 * y.log().clamp(min=-40), target=y), torch.zeros(1))


def test_balance_is_zero_where_all_classes_are_equally_frequent() -> None:
    sure = 50 * torch.eye(4)
    assert float(ClassBalance()(sure).max()) < 1e-6
    torch.testing.assert_close(ClassBalance()(sure[:1].repeat(4, 1)), torch.full((4,), 4.0).log())


def test_the_absolute_difference_has_a_gradient_where_both_are_certain_and_divergences_have_none() -> None:
    teacher = torch.tensor([[60.0, 0.0]])
    norms = {}
    for distance in ("l1", "kl", "js"):
        student = torch.tensor([[40.0, 0.0]], requires_grad=True)
        Disagreement(distance=distance)(student, teacher).sum().backward()
        assert student.grad is not None
        norms[distance] = float(student.grad.norm())
    assert norms["l1"] == pytest.approx(0.5)
    assert max(norms["kl"], norms["js"]) < 1e-6


def test_a_constant_image_has_no_variation() -> None:
    image = torch.full((1, 1, 4, 4), 0.5)
    assert float(Smoothness(norm=0)(image)) == 0
    assert float(Smoothness(variation=0, norm=2)(image)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("class_impression", {"temperature": 0}, "temperature is 0"),
        ("smoothness", {"variation": -1}, "variation is -1"),
        ("smoothness", {"variation": 0, "norm": 0}, "variation is 0"),
        ("disagreement", {"distance": "mse"}, "distance is 'mse'; use one of l1, kl, js"),
        ("disagreement", {"temperature": 0}, "temperature is 0"),
        ("disagreement", {"temperature": 4.0}, "temperature is 4.0; l1 has none; use kl or js, or 1"),
        ("contrastive_memory", {"every": 0}, "every is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objectives.get(name, **arguments)


def test_a_smoothness_of_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="two pixels at least"):
        Smoothness()(torch.zeros(2, 1, 1, 4))
