"""Weights of teachers by what their own classifiers make of the student's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors
from limbeck.core.batch import Batch
from limbeck.core.references import Reference
from limbeck.core.signals import AnySignal, tensors_of
from limbeck.core.taps.tap import Tap
from limbeck.core.weighers.base import Weigher, class_logits, registry
from limbeck.core.weighers.confidence import ZHANG_2022, Sum, checked_sum, trust


@registry.register("head_confidence", cite=ZHANG_2022)
class HeadConfidence(Weigher):
    """Weights of K teachers' feature hints (CA-MKD, arXiv 2201.00007): v_k = (1 − softmax_k CE(h_k(r_k(f_s)), y)) / (K − 1).

    r_k(f_s) is the student's feature after the term's adapter to teacher k, averaged over positions, and h_k the teacher's own
    classifier: a teacher in whose feature space the student is classified well has features that fit it. Items without a
    label are weighed by the entropies of h_k instead. For a term on features whose teacher is a pattern or a list of actors.

    Args:
        classifier: path of the classifier in every teacher, a module that maps its pooled features to logits.
        sum_to: as of `Confidence`.

    Raises:
        ValueError: no module of this path; features of another width than it reads.
    """

    reads_adapted = True
    reads_classes = True

    def __init__(self, classifier: str = "linear", *, sum_to: Sum = "one") -> None:
        super().__init__()
        self.classifier, self.sum_to = classifier, checked_sum("head_confidence", sum_to)
        self.needs_labels = True
        self._heads: tuple[nn.Module, ...] = ()  # in a tuple, so that they are no part of this module

    def bind(self, actors: Actors, teachers: Sequence[Reference]) -> None:
        self._heads = tuple(Tap.parse(self.classifier).find(actors[reference.actor].model) for reference in teachers)

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        adapted = tensors_of(student)
        if len(adapted) != len(self._heads) or len(adapted) < 2:
            raise ValueError(f"head_confidence: {len(adapted)} adapted features for {len(self._heads)} teachers; name several")
        log_p = torch.stack([torch.log_softmax(self._logits(*pair), -1) for pair in zip(self._heads, adapted, strict=True)])
        weights = trust(log_p, batch.target if isinstance(batch.target, Tensor) else None)
        return weights * len(weights) if self.sum_to == "teachers" else weights

    @torch.no_grad()
    def _logits(self, head: nn.Module, feature: Tensor) -> Tensor:
        if feature.ndim == 4:  # a map [batch, channels, height, width]
            feature = feature.mean((2, 3))
        elif feature.ndim == 3:  # tokens [batch, tokens, features]
            feature = feature.mean(1)
        weight = next(head.parameters())
        if weight.ndim == 2 and weight.shape[1] != feature.shape[-1]:
            raise ValueError(
                f"head_confidence: {self.classifier!r} reads {weight.shape[1]} features, and the adapted ones have "
                f"{feature.shape[-1]}; tap the layer before the pooling"
            )
        return class_logits(head(feature.to(weight.dtype)))
