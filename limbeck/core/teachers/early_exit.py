"""The first exit that is sure of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, registry
from limbeck.core.teachers.ensemble import dense_outputs

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

    For `evaluate`: `early: {early_exit: {of: ["student:exits.*", student], threshold: 0.9}}`. The module of it ends a forward
    pass as soon as all items of the batch have left (`limbeck.core.early_exit_module`), and the verdict has the work and the
    metric of other thresholds too. Choose the threshold on validation data.

    Args:
        of: the exits of one network, in the order in which they run; the last one takes what no other is sure of.
        threshold: of the largest probability; 0: every item leaves at the first exit, above 1: none leaves early.

    Raises:
        ValueError: a negative threshold; outputs that are not logits of one shape.

    Source: Teerapittayanon et al. 2016, BranchyNet (arXiv:1709.01686), which compares the entropy; Zhang et al. 2019, Be
    Your Own Teacher, compare the largest probability.
    """

    def __init__(self, of: str | Sequence[str], *, threshold: float = 0.9) -> None:
        super().__init__()
        if threshold < 0:
            raise ValueError(f"EarlyExit: threshold is {threshold}; expected a probability, such as 0.9")
        self.references = (of,) if isinstance(of, str) else tuple(of)
        self.threshold = threshold

    def describe(self) -> dict[str, Any]:
        return {"of": list(self.references), "threshold": self.threshold}

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        stacked = torch.stack(dense_outputs(signals, same=True, name="EarlyExit"))
        chosen = chosen_exits(stacked, self.threshold)
        return stacked.gather(0, chosen[None, :, None].expand(1, *stacked.shape[1:]))[0]


def chosen_exits(logits: Tensor, threshold: float) -> Tensor:
    """The exit at which each item leaves, int64 `[B]`, from the logits of all exits `[K, B, C]`."""
    sure = logits.softmax(-1).amax(-1) >= threshold
    last = torch.ones_like(sure[:1])
    return torch.cat([sure[:-1], last]).to(torch.uint8).argmax(0)
