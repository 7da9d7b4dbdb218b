"""What early exits save: the work and the metric of a network whose items leave at the first exit that is sure enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from limbeck.core.teachers.early_exit import chosen_exits
from limbeck.evaluation.record import Record

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 1.01)


class ExitPoint(Record):
    """The test set at one threshold, as means over the seeds.

    Attributes:
        threshold: of the largest probability; 1.01: no item leaves early.
        work: multiply-accumulates of a mean item, as a share of those of the plain network.
        metric: of the logits with which the items leave.
        shares: of the items that leave at each exit.
    """

    threshold: float
    work: float
    metric: float
    shares: list[float]


class EarlyExits(Record):
    """Work and metric over the threshold.

    Attributes:
        exits: names of the exits, in the order in which they run; the last is the network's own output.
        macs: multiply-accumulates until each exit has its logits, those of the exits before included.
        plain_macs: of the network without exits.
        threshold: that of the run, at which its result was evaluated.
        points: by threshold, rising.
    """

    exits: list[str]
    macs: list[int]
    plain_macs: int
    threshold: float
    points: list[ExitPoint]

    @property
    def chosen(self) -> ExitPoint:
        """The point of the run's threshold."""
        return next(point for point in self.points if point.threshold == self.threshold)


def early_exits(
    logits: Sequence[Tensor],
    metric: Callable[[Tensor], float],
    *,
    exits: Sequence[str],
    macs: Sequence[int],
    plain_macs: int,
    threshold: float,
) -> EarlyExits:
    """The curve of a network with exits.

    Args:
        logits: of all exits on the test items `[K, N, C]`, one for each seed.
        metric: of logits `[N, C]`.
        exits, macs, plain_macs, threshold: see `EarlyExits`.
    """
    points = []
    for each in sorted({*THRESHOLDS, threshold}):
        chosen = [chosen_exits(one, each) for one in logits]
        left = [one.gather(0, at[None, :, None].expand(1, *one.shape[1:]))[0] for one, at in zip(logits, chosen, strict=True)]
        shares = torch.stack([torch.bincount(at, minlength=len(exits)) / len(at) for at in chosen]).mean(0)
        work = float((shares.double() * torch.tensor(macs, dtype=torch.float64)).sum() / plain_macs)
        value = sum(metric(one) for one in left) / len(left)
        points.append(ExitPoint(threshold=each, work=work, metric=value, shares=shares.tolist()))
    return EarlyExits(exits=list(exits), macs=list(macs), plain_macs=plain_macs, threshold=threshold, points=points)
