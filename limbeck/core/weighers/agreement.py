"""Weights of several teachers by how far they agree with each other; no labels are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, class_logits, registry
from limbeck.core.weighers.divergence import jensen_shannon
from limbeck.utils import distributed


@registry.register("agreement")
class Agreement(Weigher):
    """How far another of K teachers agrees with each one: w_k = softmax_k(−sharpness · d_k), `[K, batch]`; Σ_k w_k = 1.

    d_k = min_{j≠k} JS(p_k, p_j) / log 2, from 0 to 1: the distance to the closest other teacher, averaged over the items that
    were seen so far if `remember` is above 0. A teacher that answers at random, or always the same, is as certain as its
    entropy says and agrees with nobody, so it loses its weight here and keeps it under `entropy`. Two teachers always have
    equal weights; at least three can outvote one.

    Args:
        sharpness: how fast the weight falls with the distance.
        remember: share of the running mean over earlier batches in d_k, at least 0 and below 1; 0: each item is judged by
            itself. The mean is part of the checkpoint.

    Raises:
        ValueError: an argument out of range; no teacher, or signals that are no dense logits.

    Source: the vote of Dawid and Skene (1979) on who can be trusted, with distances of distributions instead of counts.
    """

    reads_classes = True

    def __init__(self, *, sharpness: float = 10.0, remember: float = 0.9) -> None:
        super().__init__()
        if not 0 < sharpness < math.inf:
            raise ValueError(f"agreement: sharpness is {sharpness}; use a value above 0, such as 10")
        if not 0 <= remember < 1:
            raise ValueError(f"agreement: remember is {remember}; use a share of at least 0 and below 1, such as 0.9")
        self.sharpness, self.remember = sharpness, remember
        self.distance: Tensor
        self.register_buffer("distance", torch.zeros(0), persistent=remember > 0)

    def build(self, signals: Sequence[object], student: object, *, samples: int | None) -> None:
        self.distance = torch.full((len(signals),), -1.0)  # not seen yet

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        if not signals:
            raise ValueError("agreement: the term has no teacher to weigh; name several, such as teachers.*")
        log_p = torch.stack([torch.log_softmax(class_logits(signal), -1) for signal in signals])
        if len(log_p) == 1:
            return torch.ones_like(log_p[..., 0])
        distance = _closest(log_p)
        if self.remember:
            distance = self.remember * self._running(distance) + (1 - self.remember) * distance
        return torch.softmax(-self.sharpness * distance, 0)

    def _running(self, distance: Tensor) -> Tensor:
        """The running mean distance of each teacher, with this batch, broadcastable to `distance`."""
        here = self._mean(distance.flatten(1))
        before = self.distance.to(here) if len(self.distance) == len(here) else torch.full_like(here, -1.0)
        running = torch.where(before < 0, here, 0.9 * before + 0.1 * here)
        if self.training:
            self.distance = running
        return running.view(-1, *[1] * (distance.ndim - 1))

    def _mean(self, distance: Tensor) -> Tensor:
        """The mean of `[K, items]` over the items of all processes; outside training over these."""
        if not self.training:
            return distance.mean(1)
        totals = distributed.all_reduce_sum(torch.stack([distance.sum(1), torch.full_like(distance[:, 0], distance.shape[1])]))
        return totals[0] / totals[1]


def _closest(log_p: Tensor) -> Tensor:
    """Of each teacher the distance to the closest other one, `[K, ...]`."""
    count = len(log_p)
    pairs = {(k, j): jensen_shannon(log_p[k], log_p[j]) for k in range(count) for j in range(k)}
    others = [[pairs[max(k, j), min(k, j)] for j in range(count) if j != k] for k in range(count)]
    return torch.stack([torch.stack(own).amin(0) for own in others])
