"""What early exits save: the work and the metric of a network whose items leave at the first exit that is sure enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import Field
from torch import Tensor

from limbeck.core.teachers.early_exit import chosen_exits, leave
from limbeck.evaluation.record import Record

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 1.01)


class ExitPoint(Record):
    """The test set at one threshold, as means over the seeds.

    Attributes:
        threshold: of the largest probability; 1.01: no item leaves early; None: one for each exit, see `EarlyExits.thresholds`.
        work: multiply-accumulates of a mean item, as a share of those of the plain network.
        metric: of the logits with which the items leave.
        shares: of the items that leave at each exit.
    """

    threshold: float | None
    work: float
    metric: float
    shares: list[float]


class EarlyExits(Record):
    """Work and metric over the threshold.

    Attributes:
        exits: names of the exits, in the order in which they run; the last is the network's own output.
        macs: multiply-accumulates until each exit has its logits, those of the exits before included.
        plain_macs: of the network without exits.
        threshold: that of the run, at which its result was evaluated; None: one for each exit.
        points: by threshold, rising.
        thresholds: of each exit but the last, one list for each seed, if each exit has its own.
        own: the test set with these.
    """

    exits: list[str]
    macs: list[int]
    plain_macs: int
    threshold: float | None
    points: list[ExitPoint]
    thresholds: list[list[float]] = Field(default_factory=list)
    own: ExitPoint | None = None

    @property
    def chosen(self) -> ExitPoint:
        """The point of the run's threshold, or thresholds."""
        return self.own or next(point for point in self.points if point.threshold == self.threshold)


def early_exits(
    logits: Sequence[Tensor],
    metric: Callable[[Tensor], float],
    *,
    exits: Sequence[str],
    macs: Sequence[int],
    plain_macs: int,
    threshold: float | Sequence[Sequence[float]],
) -> EarlyExits:
    """The curve of a network with exits.

    Args:
        logits: of all exits on the test items `[K, N, C]`, one for each seed.
        metric: of logits `[N, C]`.
        exits, macs, plain_macs: see `EarlyExits`.
        threshold: one for all exits; or for each seed those of the exits but the last.
    """

    def point(thresholds: Sequence[float | Sequence[float]], shown: float | None) -> ExitPoint:
        chosen = [chosen_exits(one, each) for one, each in zip(logits, thresholds, strict=True)]
        shares = torch.stack([torch.bincount(at, minlength=len(exits)) / len(at) for at in chosen]).mean(0)
        work = float((shares.double() * torch.tensor(macs, dtype=torch.float64)).sum() / plain_macs)
        left = [leave(list(one), each) for one, each in zip(logits, thresholds, strict=True)]
        value = sum(metric(one) for one in left) / len(left)
        return ExitPoint(threshold=shown, work=work, metric=value, shares=shares.tolist())

    one = threshold if isinstance(threshold, float | int) else None
    each = [] if isinstance(threshold, float | int) else [list(of_seed) for of_seed in threshold]
    return EarlyExits(
        exits=list(exits),
        macs=list(macs),
        plain_macs=plain_macs,
        threshold=one,
        points=[point([every] * len(logits), every) for every in sorted({*THRESHOLDS, *(() if one is None else (one,))})],
        thresholds=each,
        own=point(each, None) if each else None,
    )
