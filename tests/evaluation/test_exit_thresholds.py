"""Thresholds of early exits, chosen on validation data."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.core.teachers.early_exit import chosen_exits, sureness
from limbeck.evaluation.exit_thresholds import CANDIDATES, NEVER, _Items, choose_thresholds

MACS = [20, 55, 100]


def exits(seed: int, items: int = 2000) -> tuple[Tensor, Tensor]:
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
def test_they_keep_the_tolerance_on_new_items_with_less_work_than_one_threshold_for_all(seed: int) -> None:
    logits, labels = exits(seed)
    new = exits(seed + 100, 20_000)
    tolerance, whole = 0.01, measured(*new, [NEVER, NEVER])[0]
    accuracy, work = measured(*new, choose_thresholds(logits, labels, MACS, tolerance))
    assert accuracy >= whole - 1.5 * tolerance  # of 2,000 items no more can be known
    for each in CANDIDATES.tolist():
        same, used = measured(*new, [each, each])
        assert used > work or same < accuracy, each


def test_the_descent_finds_what_trying_all_thresholds_does() -> None:
    logits, labels = exits(0, 500)
    items = _Items(sureness(logits[:-1]), logits.argmax(-1) == labels, torch.tensor(MACS) / 100)
    every = torch.cartesian_prod(CANDIDATES, CANDIDATES)
    for price in (1.0, 10.0):
        accuracy, work = items.measure(every)
        accuracy_found, work_found = items.measure(items.descend(torch.full((2,), NEVER), price)[None])
        best = float((work - price * accuracy).min())
        assert best <= float(work_found - price * accuracy_found) <= best + 0.01


def test_no_item_leaves_early_where_exits_only_guess() -> None:
    logits, labels = exits(0)
    logits[:2] = 9 * torch.nn.functional.one_hot((labels + 1) % 4, 4)  # sure, and wrong
    assert choose_thresholds(logits, labels, MACS, 0.0) == [NEVER, NEVER]
