"""The thresholds of an early exit, chosen on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.core.teachers.early_exit import first_sure, sureness
from limbeck.utils.progress_bar import show_progress

NEVER = 1.01  # above every probability
CANDIDATES = torch.tensor([*(step / 50 for step in range(10, 49)), 0.97, 0.98, 0.985, 0.99, 0.995, 0.999, NEVER])
PRICES = tuple(10 ** (step / 6) for step in range(18, -7, -1))  # of a wrong answer, in passes of the whole network
FOLDS, SWEEPS = 5, 5


def choose_thresholds(logits: Tensor, labels: Tensor, macs: Sequence[int], tolerance: float) -> list[float]:
    """Thresholds of all exits but the last, with which a mean item takes least work and accuracy falls by `tolerance` at most.

    For a price λ of a wrong answer, coordinate descent over the exits lowers work / macs[-1] + λ · errors. The price is chosen
    by cross-validation: the one with the least work whose thresholds, found on four fifths of the items, keep the tolerance on
    the other fifth. The same items for both would promise more than holds on new ones. If no price does, no item leaves early.

    Args:
        logits: of all exits on validation items, `[K, N, C]`.
        labels: class indices, int64 `[N]`.
        macs: multiply-accumulates until each exit, K numbers.
        tolerance: share of accuracy.
    """
    items = _Items(sureness(logits[:-1]), logits.argmax(-1) == labels, torch.tensor(macs).double() / macs[-1])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    held = [items.select(order[fold::FOLDS]) for fold in range(FOLDS)]
    rest = [items.select(torch.cat([order[other::FOLDS] for other in range(FOLDS) if other != fold])) for fold in range(FOLDS)]
    allowed = float(items.right[-1].double().mean()) - tolerance
    none = torch.full((len(items.sureness),), NEVER)
    chosen, least, everywhere, found = none, 1.0, none, [none] * FOLDS
    for price in show_progress(PRICES, "choosing thresholds of exits", len(PRICES)):
        everywhere = items.descend(everywhere, price)
        found = [part.descend(start, price) for part, start in zip(rest, found, strict=True)]
        measured = [part.measure(each[None]) for part, each in zip(held, found, strict=True)]
        counts = torch.tensor([part.right.shape[1] for part in held]).double()
        accuracy, work = (float((torch.cat(each) * counts).sum() / counts.sum()) for each in zip(*measured, strict=True))
        if accuracy >= allowed and work < least:
            chosen, least = everywhere, work
    return [round(float(each), 6) for each in chosen]


@dataclass(frozen=True)
class _Items:
    """What of some items decides about thresholds.

    Attributes:
        sureness: at each exit but the last, `[K − 1, N]`.
        right: whether each exit is right, `[K, N]`.
        work: until each exit, as a share of the last one's, `[K]`.
    """

    sureness: Tensor
    right: Tensor
    work: Tensor

    def select(self, rows: Tensor) -> _Items:
        return _Items(self.sureness[:, rows], self.right[:, rows], self.work)

    def measure(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Accuracy, and the work of a mean item, `[T]` each, for thresholds `[T, K − 1]`."""
        chosen = torch.stack([first_sure(self.sureness, each) for each in thresholds])
        return self.right.gather(0, chosen).double().mean(-1), self.work[chosen].mean(-1)

    def descend(self, thresholds: Tensor, price: float) -> Tensor:
        """The thresholds of least cost, by coordinate descent."""
        for _ in range(SWEEPS):
            before = thresholds
            for at in range(len(thresholds)):
                tried = thresholds.repeat(len(CANDIDATES), 1)
                tried[:, at] = CANDIDATES
                accuracy, work = self.measure(tried)
                thresholds = tried[(work - price * accuracy).argmin()]
            if torch.equal(thresholds, before):
                break
        return thresholds
