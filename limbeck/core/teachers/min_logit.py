"""The smallest logits of several teachers, relative to that of the label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.labels import label_mask, single_target
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, named_signals, registry
from limbeck.core.teachers.ensemble import dense_outputs
from limbeck.core.weighers.held_back import GUO_2020


@registry.register("min_logit", cite=GUO_2020)
class MinLogit(Teacher):
    """z_c = min_k (z_k,c − z_k,y): each class as unlikely as the teacher that finds it least likely says (KDCL-MinLogit).

    Logits are compared relative to that of the label y, so the target is at least as sure of the label as every teacher. The
    target of an item without a label is the mean of the teachers' logits.

    Args:
        of: the teachers, e.g. `["first", "second"]` or `"peers.*"`; their logits have the shape [batch, classes].
        own: whether a pattern also matches the actor on the student's side of the term.

    Raises:
        ValueError: outputs of different shapes; no labels.

    Source: Guo et al., CVPR 2020, Online Knowledge Distillation via Collaborative Learning, section 3.2.
    """

    reads_classes = True

    def __init__(self, of: str | Sequence[str], *, own: bool = False) -> None:
        super().__init__()
        self.references = named_signals("MinLogit", of)
        self.own = own

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        stacked = torch.stack(dense_outputs(signals, same=True, name="MinLogit"))
        target = single_target(batch.target, "MinLogit")
        labels = target.argmax(-1) if target.is_floating_point() else target.clamp(min=0)
        of_label = stacked.gather(-1, labels.expand(stacked.shape[:-1])[..., None])
        smallest = (stacked - of_label).min(0).values
        return torch.where(label_mask(target)[..., None] > 0, smallest, stacked.mean(0))
