"""Thresholds of early exits, chosen on validation data."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from limbeck.core.teachers.early_exit import chosen_exits
from limbeck.evaluation.exit_thresholds import CANDIDATES, NEVER, choose_thresholds

MACS = [20, 55, 100]


def exits(seed: int, items: int = 400) -> tuple[Tensor, Tensor]:
    """Logits of three exits, each better than the one before, `[3, N, 4]`, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (items,), generator=generator)
    true = 3 * torch.nn.functional.one_hot(labels, 4).float()
    noise = torch.randn(3, items, 4, generator=generator) * torch.tensor([2.2, 1.5, 0.9])[:, None, None]
    return true + noise, labels


def measured(logits: Tensor, labels: Tensor, thresholds: list[float]) -> tuple[float, float]:
    chosen = chosen_exits(logits, thresholds)
    right = (logits.argmax(-1) == labels).gather(0, chosen[None])
    return float(right.double().mean()), float(torch.tensor(MACS).double()[chosen].mean())


@pytest.mark.parametrize("seed", range(3))
def test_they_keep_the_tolerance_and_are_near_the_best_of_all(seed: int) -> None:
    logits, labels = exits(seed)
    whole, tolerance = measured(logits, labels, [NEVER, NEVER])[0], 0.01
    accuracy, work = measured(logits, labels, choose_thresholds(logits, labels, MACS, tolerance))
    assert accuracy >= whole - tolerance - 1e-9
    all_of_them = [measured(logits, labels, list(pair)) for pair in itertools.product(CANDIDATES, repeat=2)]
    best = min(used for right, used in all_of_them if right >= whole - tolerance)
    same = min(
        used for each in CANDIDATES for right, used in [measured(logits, labels, [each] * 2)] if right >= whole - tolerance
    )
    assert work <= same + 1e-9
    assert best <= work <= 1.05 * best


def test_no_item_leaves_early_where_exits_only_guess() -> None:
    logits, labels = exits(0)
    logits[:2] = 9 * torch.nn.functional.one_hot((labels + 1) % 4, 4)  # sure, and wrong
    assert choose_thresholds(logits, labels, MACS, 0.0) == [NEVER, NEVER]
