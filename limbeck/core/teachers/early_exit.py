"""The first exit that is sure of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, named_signals, registry
from limbeck.core.teachers.ensemble import dense_outputs
from limbeck.utils.finite import require_finite

TEERAPITTAYANON_2016 = """
    @inproceedings{teerapittayanon2016branchynet,
        title = {{BranchyNet}: Fast Inference via Early Exiting from Deep Neural Networks},
        author = {Teerapittayanon, Surat and McDanel, Bradley and Kung, H. T.},
        booktitle = {International Conference on Pattern Recognition},
        year = {2016},
        eprint = {1709.01686},
        archiveprefix = {arXiv},
    }
"""


@registry.register("early_exit", cite=TEERAPITTAYANON_2016)
class EarlyExit(Teacher):
    """The logits of the first of several exits whose largest probability reaches a threshold, item by item; else of the last.

    For `evaluate`: `early: {early_exit: {of: ["student:exits.*", student], tolerance: 0.003}}`. The module of it ends a forward
    pass as soon as all items of the batch have left (`limbeck.core.early_exit_module`), and the verdict has the work and the
    metric of other thresholds too.

    Args:
        of: the exits of one network, in the order in which they run; the last one takes what no other is sure of.
        threshold: of the largest probability; 0: every item leaves at the first exit, above 1: none leaves early. One number
            for all exits, or one for each of them but the last.
        tolerance: share of accuracy that may be lost on the validation data, such as 0.003. Each trained network then gets the
            thresholds with which it does least work within it, one for each exit, in place of `threshold`.

    Raises:
        ValueError: a threshold below 0, a tolerance outside 0 to 1; as many thresholds as the exits do not need; outputs that
            are not logits of one shape.

    Source: Teerapittayanon et al. 2016, BranchyNet (arXiv:1709.01686), which compares the entropy and has a threshold for each
    exit; Zhang et al. 2019, Be Your Own Teacher, compare the largest probability.
    """

    reads_classes = True

    def __init__(
        self, of: str | Sequence[str], *, threshold: float | Sequence[float] = 0.9, tolerance: float | None = None
    ) -> None:
        super().__init__()
        require_finite("EarlyExit", {"threshold": threshold})
        if any(each < 0 for each in ([threshold] if isinstance(threshold, int | float) else threshold)):
            raise ValueError(f"EarlyExit: threshold is {threshold}; expected a probability, such as 0.9, or one for each exit")
        if tolerance is not None and not 0 <= tolerance < 1:
            raise ValueError(f"EarlyExit: tolerance is {tolerance}; expected a share of accuracy, from 0 to 1, such as 0.003")
        self.references = named_signals("EarlyExit", of)
        self.threshold, self.tolerance = threshold, tolerance

    def describe(self) -> dict[str, Any]:
        chosen = {} if self.tolerance is None else {"tolerance": self.tolerance}
        return {"of": list(self.references), "threshold": self.threshold, **chosen}

    def thresholds(self, exits: int) -> list[float]:
        """The threshold of each of `exits` exits but the last."""
        if isinstance(self.threshold, int | float):
            return [float(self.threshold)] * (exits - 1)
        if len(self.threshold) != exits - 1:
            raise ValueError(
                f"EarlyExit: threshold has {len(self.threshold)} numbers, and there are {exits} exits; give {exits - 1}, "
                "because the last takes the rest, or one number"
            )
        return [float(each) for each in self.threshold]

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        return leave(signals, self.thresholds(len(signals)))


def leave(signals: Sequence[AnySignal], thresholds: float | Sequence[float]) -> Tensor:
    """The logits `[B, C]` with which the items leave, from those of the exits that ran, K of `[B, C]`; see `chosen_exits`."""
    logits = torch.stack(dense_outputs(signals, same=True, name="EarlyExit"))
    chosen = chosen_exits(logits, thresholds)
    return logits.gather(0, chosen[None, :, None].expand(1, *logits.shape[1:]))[0]


def chosen_exits(logits: Tensor, thresholds: float | Sequence[float]) -> Tensor:
    """The exit at which each item leaves, int64 `[B]`, from the logits of all exits `[K, B, C]`.

    Args:
        thresholds: one for all exits, or one for each but the last.
    """
    return first_sure(sureness(logits[:-1]), thresholds)


def sureness(logits: Tensor) -> Tensor:
    """The largest probability of softmax(logits), `[…]` from `[…, C]`."""
    return logits.float().softmax(-1).amax(-1)


def first_sure(sureness: Tensor, thresholds: float | Sequence[float] | Tensor) -> Tensor:
    """The first exit that is sure enough, int64 `[B]`; the last one for items of which none is.

    Args:
        sureness: at each exit but the last, `[K − 1, B]`.
        thresholds: as of `chosen_exits`.
    """
    sure = sureness >= torch.as_tensor(thresholds, dtype=sureness.dtype, device=sureness.device).reshape(-1, 1)
    return torch.cat([sure, sure.new_ones(1, sure.shape[1])]).to(torch.uint8).argmax(0)
