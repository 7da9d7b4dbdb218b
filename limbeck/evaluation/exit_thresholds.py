"""The thresholds of an early exit, chosen on validation data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.teachers.early_exit import first_sure, sureness

NEVER = 1.01  # above every probability
CANDIDATES = (*(step / 50 for step in range(10, 49)), 0.97, 0.98, 0.985, 0.99, 0.995, 0.999, NEVER)
PRICES = tuple(10 ** (step / 8) for step in range(24, -9, -1))  # of a wrong answer, in passes of the whole network
SWEEPS = 5


def choose_thresholds(logits: Tensor, labels: Tensor, macs: Sequence[int], tolerance: float) -> list[float]:
    """Thresholds of all exits but the last, with which a mean item takes least work and accuracy falls by `tolerance` at most.

    For each of several prices λ of a wrong answer, coordinate descent over the exits lowers work / macs[-1] + λ · errors. Of
    all thresholds that it tries, those within the tolerance that take the least work are chosen; without any, no item leaves
    early.

    Args:
        logits: of all exits on validation items, `[K, N, C]`.
        labels: class indices, int64 `[N]`.
        macs: multiply-accumulates until each exit, K numbers.
        tolerance: share of accuracy.
    """
    right, work, sure = logits.argmax(-1) == labels, torch.tensor(macs).double() / macs[-1], sureness(logits)
    allowed = float(right[-1].double().mean()) - tolerance

    def measured(thresholds: Sequence[float]) -> tuple[float, float]:
        """Accuracy, and the work of a mean item."""
        chosen = first_sure(sure, thresholds)
        return float(right.gather(0, chosen[None]).double().mean()), float(work[chosen].mean())

    found = [NEVER] * len(sure)
    best, least = found, measured(found)[1]
    for price in PRICES:
        for _ in range(SWEEPS):
            before = found
            for at in range(len(found)):
                tried = [[*found[:at], each, *found[at + 1 :]] for each in CANDIDATES]
                values = list(map(measured, tried))
                costs = [used - price * accuracy for accuracy, used in values]
                for thresholds, (accuracy, used) in zip(tried, values, strict=True):
                    if accuracy >= allowed and used < least:
                        best, least = thresholds, used
                found = tried[costs.index(min(costs))]
            if found == before:
                break
    return best
