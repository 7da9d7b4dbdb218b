"""Sentence encoders made smaller: their embeddings are what is learned (Reimers & Gurevych 2020, arXiv 2004.09813)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import epochs as passes
from limbeck.engine.training import Phase, TermFactory
from limbeck.methods.building_blocks import Initialise, adamw, student_of, weighed
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import EmbeddingCosine, EmbeddingMSE, RKDCosine
from limbeck.tasks import Task


def embeddings(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | Sequence[int] | None = None,
    hidden: int | None = None,
    initialise: Initialise = "svd",
    mse: float = 0.0,
    cosine: float = 1.0,
    relations: float = 1.0,
    epochs: float = 3.0,
    lr: float = 1e-4,
) -> tuple[FromTeacher, list[Phase]]:
    """A sentence encoder with fewer layers, or thinner ones, that puts texts where the teacher puts them:

    mse · MSE + cosine · (1 − cos) of the embeddings + relations · Huber of the cosines between the texts of a batch.

    A student of another width meets the teacher's embeddings through a learned linear map, which is then dropped; its own
    embeddings are shaped by the relations, which need no equal widths.

    Args:
        teacher: a `SentenceEncoder` (model `sentence_transformers`).
        task: `SentenceEmbeddings`.
        items: some texts, on which `initialise: svd` chooses what to keep of a wider teacher.
        layers: a number, or which of the teacher's, from 0. Default: half of them.
        hidden: width. Default: the teacher's.

    Raises:
        ValueError: more layers than the teacher has, all weights 0.
    """
    student = student_of(teacher, items, layers=layers, hidden=hidden, initialise=initialise)
    return student, [Phase(embedding_terms(mse, cosine, relations), passes(epochs), adamw(lr), name="embeddings")]


def embedding_terms(mse: float, cosine: float, relations: float) -> TermFactory:
    """What makes the terms of the loss above."""
    return weighed(
        (mse, lambda: [Term(EmbeddingMSE())]),
        (cosine, lambda: [Term(EmbeddingCosine())]),
        (relations, lambda: [Term(RKDCosine())]),
    )
