"""Objectives on relations between tokens within self-attention: softmax(XXᵀ/√d) of queries, keys or values X.

Queries, keys and values are [B, heads, T, d], or [B, T, D] with concatenated heads. Student and teacher may differ in width:
only relations, [T, T] for each head, are compared. `mask` [B, T] marks real tokens; padded keys are left out of the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor

from limbeck.core.objective import Knowledge, registry, require
from limbeck.core.signals import shape_of, tensors_of
from limbeck.objectives.functional.relation_divergence import relation_divergence
from limbeck.objectives.functional.token_masks import zero_padding
from limbeck.objectives.transformers import OTHER_HEADS, AttentionDistributions, TokenObjective


class SelfAttentionObjective(TokenObjective):
    """Base class: X [B, heads, T, d] or [B, T, D], split into relation heads.

    Args:
        heads: number of relation heads; None: the heads of X, one for [B, T, D].
    """

    knowledge: ClassVar[Knowledge] = "relation"
    ndims: ClassVar[tuple[int, ...]] = (3, 4)

    def __init__(self, *, heads: int | None) -> None:
        super().__init__()
        whole = heads is None or (heads >= 1 and heads == int(heads))
        require(whole, self.name, "heads", heads, "use a whole number from 1, such as 12")
        self.heads = None if heads is None else int(heads)

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        widths = sorted({_width(tuple(x.shape)) for x in (*tensors_of(student), *tensors_of(teacher))})
        if self.heads is not None and any(width % self.heads for width in widths):
            sides = f"student {shape_of(student)} and teacher {shape_of(teacher)}"
            wide, fitting = " and ".join(map(str, widths)), ", ".join(map(str, _common_divisors(widths)))
            raise ValueError(
                f"{self.name}: heads is {self.heads}, which does not divide the widths {wide} of {sides}; use one of {fitting}"
            )

    def _agree(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> bool:
        same_heads = self.heads is not None or _heads(student) == _heads(teacher)
        return student[-2] == teacher[-2] and same_heads

    def _remedy(self) -> str:
        own_heads = f"; so are equal head counts, unless heads is given; {OTHER_HEADS}" if self.heads is None else ""
        return f"equal batches and token counts are needed{own_heads}"

    def divergence(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """KL of the relations of one pair of signals, the mean over relation heads and real queries: [B]."""
        real = self.real(student, mask)
        s, t = (zero_padding(_split(x, self.heads), real) for x in (student, teacher))
        return relation_divergence(s, t, real)


@registry.register("value_relation")
class ValueRelation(SelfAttentionObjective):
    """KL of the value relations softmax(VVᵀ/√d), the mean over heads and real queries.

    Values [B, heads, T, d] or [B, T, D]; widths may differ. The second part of MiniLM's loss; the first is
    `attention_distributions` of the same layer.

    Args:
        heads: number of relation heads, which must divide both widths. None: the heads of the values, as in the paper, equal
            on both sides; values [B, T, D] have one.

    Raises:
        ValueError: heads below 1 or not a divisor of both widths, token or head counts that differ, a mask of another shape
            than [B, T].

    Source: Wang et al. 2020 (MiniLM), arXiv 2002.10957.
    """

    name = "value_relation"
    formula = "(1/(heads · n)) Σ_h Σ_i KL(R^t_{hi}‖R^s_{hi}), R = softmax(VVᵀ/√d) over the n real keys, i over real queries"
    source = "Wang et al. 2020 (MiniLM), arXiv 2002.10957"
    bibtex = AttentionDistributions.bibtex
    expects = ("values [B, heads, T, d]", "values [B, T, D]")
    tap_kinds = ("values",)

    def __init__(self, *, heads: int | None = None) -> None:
        super().__init__(heads=heads)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return self.divergence(student, teacher, mask)


@registry.register("self_attention_relations")
class SelfAttentionRelations(SelfAttentionObjective):
    """KL of softmax(XXᵀ/√d) for queries, keys and values, added.

    Each side is a tuple (queries, keys, values), each [B, heads, T, d] or [B, T, D]. Their heads are concatenated and split
    into relation heads, so widths and head counts of student and teacher may differ.

    Args:
        heads: number of relation heads, which must divide all widths. The paper uses 48 for base teachers, 64 for large ones.

    Raises:
        ValueError: heads below 1 or not a divisor of all widths, a side that is not three taps, token counts that differ, a
            mask of another shape than [B, T].

    Source: Wang et al. 2021 (MiniLM v2), arXiv 2012.15828.
    """

    name = "self_attention_relations"
    formula = (
        "Σ_{X=Q,K,V} (1/(heads · n)) Σ_h Σ_i KL(R^t_{hi}‖R^s_{hi}), "
        "R = softmax(XXᵀ/√d) over the n real keys, i over real queries"
    )
    source = "Wang et al. 2021 (MiniLM v2), arXiv 2012.15828"
    bibtex = """
        @inproceedings{wang2021minilmv2,
            title = {{MiniLMv2}: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained Transformers},
            author = {Wang, Wenhui and Bao, Hangbo and Huang, Shaohan and Dong, Li and Wei, Furu},
            booktitle = {Findings of the Association for Computational Linguistics: ACL-IJCNLP 2021},
            year = {2021},
            eprint = {2012.15828},
            archiveprefix = {arXiv},
        }
    """
    num_taps = 3
    expects = ("queries, keys and values [B, heads, T, d]", "queries, keys and values [B, T, D]")
    tap_kinds = ("queries", "keys", "values")

    def __init__(self, *, heads: int = 48) -> None:
        super().__init__(heads=heads)

    def compare(
        self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], *, target: Any, mask: Any, index: Any
    ) -> Tensor:
        queries, keys, values = (self.divergence(s, t, mask) for s, t in zip(student, teacher, strict=True))
        return queries + keys + values


def _heads(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 4 else 1


def _width(shape: tuple[int, ...]) -> int:
    return _heads(shape) * shape[-1]


def _split(x: Tensor, heads: int | None) -> Tensor:
    """[B, heads, T, d] or [B, T, D] as [B, heads, T, d] with this many heads; None: its own."""
    if x.ndim == 4 and heads in (None, x.shape[1]):
        return x
    tokens = x.transpose(1, 2) if x.ndim == 4 else x
    return tokens.reshape(*tokens.shape[:2], heads or 1, -1).transpose(1, 2)


def _common_divisors(widths: Iterable[int]) -> list[int]:
    greatest = math.gcd(*widths)
    return [number for number in range(1, greatest + 1) if greatest % number == 0]
