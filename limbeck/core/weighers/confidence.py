"""Weights of several teachers against each other, for each item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.labels import is_labelled
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, class_logits, registry

Sum = Literal["one", "teachers"]

ZHANG_2022 = """
    @inproceedings{zhang2022confidence,
        title = {Confidence-Aware Multi-Teacher Knowledge Distillation},
        author = {Zhang, Hailin and Chen, Defang and Wang, Can},
        booktitle = {International Conference on Acoustics, Speech and Signal Processing},
        year = {2022},
        eprint = {2201.00007},
        archiveprefix = {arXiv},
    }
"""


@registry.register("confidence", cite=ZHANG_2022)
class Confidence(Weigher):
    """How far each of K teachers can be trusted on an item: `[K, batch]`, or `[K, batch, tokens]`; the sum over k is 1.

    With a label (CA-MKD): w_k = (1 − softmax_k CE(z_k, y)) / (K − 1). Without one (EB-KD): w_k = (1 − H_k / Σ_j H_j) / (K − 1),
    H_k the entropy of softmax(z_k). A single teacher has weight 1. Labels may be class indices or class probabilities.

    Args:
        labels: False: weigh by entropy even where there are labels.
        sum_to: `one`, or `teachers`: K, so that the mean over the losses of K teachers, for a term whose teacher is a pattern,
            is their weighted sum Σ_k w_k L_k.

    Raises:
        ValueError: no teacher, or signals that are no dense logits; an unknown sum.

    Source: Zhang et al., ICASSP 2022 (CA-MKD), arXiv 2201.00007; Kwon et al., ICASSP 2020 (EB-KD).
    """

    reads_classes = True

    def __init__(self, *, labels: bool = True, sum_to: Sum = "one") -> None:
        super().__init__()
        self.labels = self.needs_labels = labels
        self.sum_to = checked_sum("confidence", sum_to)

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        if not signals:
            raise ValueError("confidence: the term has no teacher to weigh; name several, such as teachers.*")
        log_p = torch.stack([torch.log_softmax(class_logits(signal), -1) for signal in signals])
        weights = trust(log_p, batch.target if self.labels and isinstance(batch.target, Tensor) else None)
        return weights * len(weights) if self.sum_to == "teachers" else weights


def checked_sum(name: str, value: Sum) -> Sum:
    """The value of `sum_to`; raises a ValueError for another."""
    if value not in get_args(Sum):
        raise ValueError(f"{name}: sum_to is {value!r}; expected 'one' or 'teachers'")
    return value


def trust(log_p: Tensor, labels: Tensor | None) -> Tensor:
    """The weights of `Confidence` from log-probabilities `[K, ..., C]`; of items without a label by their entropies."""
    if len(log_p) == 1:
        return torch.ones_like(log_p[..., 0])
    entropy = -(log_p.exp() * log_p).sum(-1)
    share = entropy / entropy.sum(0).clamp_min(torch.finfo(entropy.dtype).tiny)
    if labels is not None:
        labelled = is_labelled(labels)
        if labelled.shape == share.shape[1:]:  # else it is no class for each item, and entropy has to do
            share = torch.where(labelled, torch.softmax(cross_entropy(log_p, labels), 0), share)
    weights = (1 - share) / (len(log_p) - 1)
    return weights / weights.sum(0)  # 1 already, unless no teacher has any entropy


def cross_entropy(log_p: Tensor, target: Tensor) -> Tensor:
    """−log p of the label for each teacher and item; for class probabilities their cross-entropy."""
    if target.is_floating_point():
        return -(target.to(log_p.dtype) * log_p).sum(-1)
    labels = target.clamp(min=0).expand(log_p.shape[:-1])
    return -log_p.gather(-1, labels[..., None]).squeeze(-1)
