"""How hard each item is for the student."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.labels import is_labelled
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, class_logits, registry
from limbeck.core.weighers.confidence import cross_entropy
from limbeck.core.weighers.divergence import jensen_shannon
from limbeck.core.weighers.entropy import LI_2021, relative_entropy

Measure = Literal["entropy", "confidence", "disagreement", "difficulty"]


@registry.register("hardness")
class Hardness(Weigher):
    """How hard an item is for the student, h from 0 to 1, or how easy, 1 − h.

    | `by` | h |
    | --- | --- |
    | `entropy` | H(p_s) / log C |
    | `confidence` | (1 − max p_s) · C / (C − 1) |
    | `disagreement` | JS(p_s, p_t) / log 2, the mean over the teachers |
    | `difficulty` | 1 − p_s(y); 1 for an item without a label |

    With `labels: {item_weight: {hardness: {prefer: easy}}}` and `soft targets: {item_weight: hardness}` easy items are learned
    from their labels and hard ones from the teacher; the two weights of an item sum to 1.

    Args:
        by: the measure.
        prefer: `hard`: w = h. `easy`: w = 1 − h.
        of: the teacher of `disagreement`, as a reference, on a term that has none; None: the term's own.
        temperature: of the student's (and teacher's) softmax.

    Raises:
        ValueError: an unknown measure; no labels, or no teacher, where the measure needs them.
    """

    reads_classes = True

    def __init__(
        self,
        *,
        by: Measure = "entropy",
        prefer: Literal["hard", "easy"] = "hard",
        of: str | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if by not in get_args(Measure):
            raise ValueError(f"hardness: by is {by!r}; expected {', '.join(get_args(Measure))}")
        if prefer not in ("hard", "easy"):
            raise ValueError(f"hardness: prefer is {prefer!r}; expected 'hard' or 'easy'")
        if not 0 < temperature < math.inf:
            raise ValueError(f"hardness: temperature is {temperature}; use a value above 0, such as 1")
        self.by, self.prefer, self.temperature = by, prefer, temperature
        self.references = () if of is None else (of,)
        self.needs_labels = by == "difficulty"

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        hard = self._hardness(signals, batch, student)
        return hard if self.prefer == "hard" else 1 - hard

    def _hardness(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        if self.by == "entropy":
            return relative_entropy(student, self.temperature)
        log_p = torch.log_softmax(class_logits(student) / self.temperature, -1)
        if self.by == "confidence":
            classes = log_p.shape[-1]
            return -torch.expm1(log_p.amax(-1)) * classes / (classes - 1)
        if self.by == "disagreement":
            read = signals[-1:] if self.references else signals
            if not read:
                raise ValueError("hardness: by is 'disagreement', and the term has no teacher; name one, such as of: teacher")
            teachers = [torch.log_softmax(class_logits(signal) / self.temperature, -1) for signal in read]
            return torch.stack([jensen_shannon(log_p, log_q) for log_q in teachers]).mean(0)
        if not isinstance(batch.target, Tensor):
            raise ValueError("hardness: by is 'difficulty', and the batch has no labels; use by: entropy")
        given = is_labelled(batch.target)
        return torch.where(given, -torch.expm1(-cross_entropy(log_p, batch.target)), 1.0)


@registry.register(
    "wsld",
    cite="""
        @inproceedings{zhou2021rethinking,
            title = {Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff Perspective},
            author = {Zhou, Helong and Song, Liangchen and Chen, Jiajie and Zhou, Ye and Wang, Guoli and Yuan, Junsong and
                Zhang, Qian},
            booktitle = {International Conference on Learning Representations},
            year = {2021},
            eprint = {2102.00650},
            archiveprefix = {arXiv},
        }
    """,
)
class WeightedSoftLabels(Weigher):
    """1 − exp(−CE(student, y) / CE(teacher, y)), both at temperature 1 (WSLD, Zhou et al. 2021, arXiv 2102.00650).

    Items that the student already fits better than the teacher (regularisation samples) count little. An item without a label
    has weight 1. The objective `weighted_soft_labels` has the same weight built in, and leaves such items out.

    Raises:
        ValueError: no teacher, or several that are not averaged; a batch without labels.
    """

    needs_labels = True
    reads_classes = True

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        if len(signals) != 1:
            raise ValueError(f"wsld: the term has {len(signals)} teacher signals; name one teacher, or an ensemble of them")
        if not isinstance(batch.target, Tensor):
            raise ValueError("wsld: needs labels, which the batch does not have; use hardness: {by: entropy}")
        ours, theirs = (
            cross_entropy(torch.log_softmax(class_logits(signal), -1), batch.target) for signal in (student, signals[0])
        )
        return torch.where(is_labelled(batch.target), excess_weight(ours, theirs), 1.0)


def excess_weight(student: Tensor, teacher: Tensor) -> Tensor:
    """1 − exp(−student / teacher) of two losses of each item: near 0 where the student's is far smaller."""
    tiny = torch.finfo(student.dtype).tiny  # the loss of a certain teacher is 0
    return -torch.expm1(-student / teacher.clamp_min(tiny))


@registry.register("most_uncertain", cite=LI_2021)
class MostUncertain(Weigher):
    """The items of a batch that the student is least certain about: 1/share for these, 0 for all others (Li et al. 2021).

    `⌈share · batch⌉` items are chosen, so that the mean of the weights stays about 1. The teacher runs on the whole batch; its
    cached outputs cost nothing.

    Args:
        share: of the items of a batch, above 0 and at most 1; 0.5 in the paper.
        by: `entropy` H(p); `margin`: the difference of the two largest probabilities; `confidence`: the largest one.

    Raises:
        ValueError: an argument out of range.
    """

    reads_classes = True

    def __init__(self, *, share: float = 0.5, by: Literal["entropy", "margin", "confidence"] = "entropy") -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"most_uncertain: share is {share}; expected a share above 0 and at most 1")
        if by not in ("entropy", "margin", "confidence"):
            raise ValueError(f"most_uncertain: by is {by!r}; expected 'entropy', 'margin' or 'confidence'")
        self.share, self.by = share, by

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        uncertain = self._uncertainty(student)
        if uncertain.ndim != 1:
            raise ValueError(f"most_uncertain: chooses items, and the logits are of shape {tuple(class_logits(student).shape)}")
        uncertain, own = self.of_all_processes(uncertain)
        count = math.ceil(self.share * len(uncertain))
        weight = torch.zeros_like(uncertain)
        return weight.index_fill(0, uncertain.topk(count).indices, len(uncertain) / count)[own]

    def _uncertainty(self, student: AnySignal) -> Tensor:
        if self.by == "entropy":
            return relative_entropy(student)
        top = torch.softmax(class_logits(student), -1).topk(2, -1).values
        return -(top[..., 0] - top[..., 1]) if self.by == "margin" else -top[..., 0]
