"""Objectives on embeddings [B, D], and on the scores of passages for a query.

The objectives of `limbeck.objectives.relations` compare the relations within a batch of embeddings of any widths.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from limbeck.core.objective import registry
from limbeck.objectives.features import FeatureObjective
from limbeck.objectives.functional.elementary import cosine_distance, mean_squared_difference
from limbeck.objectives.logits import LogitObjective


class EmbeddingObjective(FeatureObjective):
    """Base class. An adapter, a linear projection, makes widths equal first."""

    ndims: ClassVar[tuple[int, ...]] = (2,)
    expects: ClassVar[tuple[str, ...]] = ("embeddings [B, D]",)


@registry.register("embedding_mse")
class EmbeddingMSE(EmbeddingObjective):
    """Mean squared difference of two embeddings over their dimensions. Embeddings [B, D] of equal widths.

    Raises:
        ValueError: shapes that differ.

    Source: Reimers & Gurevych 2020, arXiv 2004.09813, for a sentence and its translation.
    """

    name = "embedding_mse"
    formula = "(1/D) Σ_d (s_d − t_d)²"
    source = "Reimers & Gurevych 2020, arXiv 2004.09813"
    bibtex = """
        @inproceedings{reimers2020making,
            title = {Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation},
            author = {Reimers, Nils and Gurevych, Iryna},
            booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing},
            year = {2020},
            eprint = {2004.09813},
            archiveprefix = {arXiv},
        }
    """

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return mean_squared_difference(student, teacher)


@registry.register("embedding_cosine")
class EmbeddingCosine(EmbeddingObjective):
    """One minus the cosine of two embeddings. Embeddings [B, D] of equal widths.

    The cosine with a zero vector counts as 0.

    Raises:
        ValueError: shapes that differ.

    Source: the cosine form of Reimers & Gurevych 2020, arXiv 2004.09813.
    """

    name = "embedding_cosine"
    formula = "1 − cos(s, t)"
    source = "cosine form of Reimers & Gurevych 2020, arXiv 2004.09813"
    bibtex = EmbeddingMSE.bibtex

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return cosine_distance(student, teacher)


@registry.register("margin_mse")
class MarginMSE(LogitObjective):
    """Squared difference of the margins between the scores of a query's positive passage and its negatives.

    Scores [B, N], N ≥ 2: the first column is the positive, all others are negatives, over which the mean is taken; the paper
    has one negative. The teacher's scores may differ from the student's in offset, but not in scale.

    Raises:
        ValueError: fewer than two scores, shapes that differ.

    Source: Hofstaetter et al. 2020 (Margin-MSE), arXiv 2010.02666.
    """

    name = "margin_mse"
    formula = "mean_j ((s⁺ − s_j) − (t⁺ − t_j))², j over the negatives"
    source = "Hofstaetter et al. 2020 (Margin-MSE), arXiv 2010.02666"
    bibtex = """
        @misc{hofstaetter2020improving,
            title = {Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation},
            author = {Hofstaetter, Sebastian and Althammer, Sophia and Schroeder, Michael and Sertkan, Mete and Hanbury, Allan},
            year = {2020},
            eprint = {2010.02666},
            archiveprefix = {arXiv},
        }
    """
    ndims: ClassVar[tuple[int, ...]] = (2,)
    expects: ClassVar[tuple[str, ...]] = ("scores [B, N], the positive first",)
    reads_classes = False

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if student.shape[1] < 2:
            shapes = f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)}"
            raise ValueError(f"{self.name}: {shapes} have no negatives; scores [batch, 1 + negatives] are needed")

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        s, t = (scores[:, :1] - scores[:, 1:] for scores in (student, teacher))
        return mean_squared_difference(s, t)
