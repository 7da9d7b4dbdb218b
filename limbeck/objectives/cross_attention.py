"""Partial cross attention: queries, keys and values of a student, partly replaced by the teacher's, attend as the teacher's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.memory import CountedGenerator
from limbeck.core.objective import Knowledge, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.features import FeatureObjective
from limbeck.objectives.functional.elementary import item_mean

LIU_2022 = """
    @inproceedings{liu2022cross,
        title = {Cross-Architecture Knowledge Distillation},
        author = {Liu, Yufan and Cao, Jiajiong and Li, Bing and Hu, Weiming and Ding, Jingting and Li, Liang},
        booktitle = {Asian Conference on Computer Vision},
        year = {2022},
        eprint = {2207.05273},
        archiveprefix = {arXiv},
    }
"""


@registry.register("partial_cross_attention")
class PartialCrossAttention(FeatureObjective):
    """Squared difference of attention outputs and of value relations, with the student's matrices partly the teacher's.

    Three taps on each side, queries, keys and values [B, heads, T, d]; those of a student without attention are made by the
    adapter `attention_heads`. In training mode each element of the student's Q, K and V is replaced by the teacher's with
    probability `swap`, which is drawn anew in each step and resumed from a checkpoint; in evaluation mode none is.

    Args:
        swap: probability of a replacement; 0.5 in the paper.

    Raises:
        ValueError: `swap` outside [0, 1), shapes that differ, other than three taps.

    Source: Liu et al. 2022, arXiv 2207.05273, equations 1 to 4; norms are means over elements here.
    """

    name = "partial_cross_attention"
    formula = (
        "mean (A(g(Q_s), g(K_s), g(V_s)) − A(Q_t, K_t, V_t))² + mean (V_s (V_s)ᵀ/√d − V_t (V_t)ᵀ/√d)², "
        "A(Q, K, V) = softmax(QKᵀ/√d) V, g replaces elements by the teacher's"
    )
    source = "Liu et al. 2022, arXiv 2207.05273"
    bibtex = LIU_2022
    knowledge: ClassVar[Knowledge] = "feature"
    match: ClassVar[Match] = Match.EVERYTHING
    ndims = (4,)
    num_taps = 3
    expects = ("queries, keys and values [B, heads, T, d]",)
    hides_errors = True  # it reads a drawn part of the teacher's queries and keys

    def __init__(self, *, swap: float = 0.5) -> None:
        super().__init__()
        require(0 <= swap < 1, self.name, "swap", swap, "use a probability from 0 to below 1, such as 0.5")
        self.swap = swap
        self.draws = CountedGenerator()

    def compare(self, student: Sequence[Tensor], teacher: Sequence[Tensor], *, target: Any, mask: Any, index: Any) -> Tensor:
        mixed = [self._mixed(s, t) for s, t in zip(student, teacher, strict=True)] if self.training else student
        attention = item_mean((_attention(*mixed) - _attention(*teacher)).square())
        return attention + item_mean((_relations(student[2]) - _relations(teacher[2])).square())

    def _mixed(self, student: Tensor, teacher: Tensor) -> Tensor:
        drawn = torch.rand(student.shape, generator=self.draws.next(student.device), device=student.device)
        return torch.where(drawn < self.swap, teacher, student)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value


def _relations(value: Tensor) -> Tensor:
    return value @ value.mT / math.sqrt(value.shape[-1])
