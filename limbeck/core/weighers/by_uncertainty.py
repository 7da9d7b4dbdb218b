"""Teachers of several sizes, chosen by how certain the student is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, registry
from limbeck.core.weighers.entropy import LI_2021, relative_entropy


@registry.register("by_uncertainty", cite=LI_2021)
class ByUncertainty(Weigher):
    """Items that the student is uncertain about learn from a small teacher, the others from a large one: `[K, batch]`, sum 1.

    With u = H(p_s)/log C of an item and K teachers from small to large, the item stands at (1 − u)·(K − 1) between them.
    `soft`: the two teachers next to it share it linearly; for two teachers the weights are u and 1 − u. Otherwise the items of
    a batch are ranked by u and dealt out to the teachers in equal parts (Li et al. 2021, arXiv 2109.11295).

    Args:
        soft: weights, or one teacher for each item.
    """

    reads_classes = True

    def __init__(self, *, soft: bool = True) -> None:
        super().__init__()
        self.soft = soft

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        count = len(signals)
        if not count:
            raise ValueError("by_uncertainty: the term has no teacher to weigh; name several, from small to large")
        uncertain = relative_entropy(student)
        if self.soft:
            place = (1 - uncertain) * (count - 1)
        else:
            if uncertain.ndim != 1:
                raise ValueError(
                    f"by_uncertainty: soft is false, and items have {uncertain.ndim - 1} more axes; use soft: true"
                )
            uncertain, own = self.of_all_processes(uncertain)
            rank = uncertain.argsort(descending=True, stable=True).argsort()
            place = (rank * count // len(rank)).to(uncertain.dtype)[own]
        numbers = torch.arange(count, device=place.device, dtype=place.dtype).view(-1, *[1] * place.ndim)
        return (1 - (place - numbers).abs()).clamp_min(0)
