"""Which made inputs are shown, and the training images that are nearest to them."""

from __future__ import annotations

import pytest
import torch

from limbeck.evaluation.made_inputs import choose_made_inputs


def test_some_of_each_class_are_shown_the_surest_first_with_the_nearest_real_image() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(20, 1, 4, 4, generator=generator)
    inputs = (real[:12] + 0.01).clamp(max=1)
    logits = torch.zeros(12, 3)
    logits[torch.arange(12), torch.arange(12) % 3] = torch.arange(12).float()  # class 2 has no fewer than the others
    found = choose_made_inputs(inputs, logits, real)
    assert [made.label for made in found] == [0] * 4 + [1] * 4 + [2] * 4
    sure = [made.confidence for made in found[4:8]]
    assert sure == sorted(sure, reverse=True)
    copied = found[4]  # of real image 10
    expected = (inputs[10] - real[10]).square().mean().sqrt()
    assert copied.difference == pytest.approx(float(expected), abs=1e-5)
    others = torch.cat([real[:10], real[11:]])
    assert copied.typical == pytest.approx(float((others - real[10]).square().mean((1, 2, 3)).sqrt().min()), abs=1e-5)
    assert copied.difference < copied.typical


def test_without_training_images_there_is_nothing_to_compare_with() -> None:
    (made,) = choose_made_inputs(torch.rand(1, 3, 4, 4), torch.tensor([[1.0, 0.0]]))
    assert made.nearest is None
    assert made.difference is None
    (made,) = choose_made_inputs(torch.rand(1, 3, 4, 4), torch.tensor([[1.0, 0.0]]), torch.rand(5, 1, 4, 4))
    assert made.nearest is None  # of another shape


def test_vectors_are_not_shown() -> None:
    assert choose_made_inputs(torch.rand(4, 9), torch.rand(4, 2)) == []
