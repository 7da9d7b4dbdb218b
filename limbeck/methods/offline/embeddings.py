"""Smaller sentence encoders that learn the teacher's embeddings (Reimers & Gurevych 2020, arXiv 2004.09813)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage
from limbeck.engine import epochs as passes
from limbeck.engine.stages import terms_stage
from limbeck.engine.training import TermFactory
from limbeck.methods.registration import registry
from limbeck.methods.text_students import Initialise, text_student
from limbeck.methods.training_stages import bert_adamw, weighted_terms
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import EmbeddingCosine, EmbeddingMSE, RKDCosine
from limbeck.tasks import Task


@registry.register("embeddings", cite=EmbeddingMSE.bibtex)
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
) -> tuple[FromTeacher, list[Stage]]:
    """Trains a sentence encoder with fewer or narrower layers on

    mse · MSE + cosine · (1 − cos) of the embeddings + relations · Huber of the cosines between the texts of a batch.

    If the widths differ, MSE and cosine compare the student's embedding after a learned linear map, which is dropped at the
    end; the relations need no equal widths and shape the student's own embeddings.

    Args:
        teacher: a `SentenceEncoder` (model `sentence_transformers`).
        task: `SentenceEmbeddings`.
        items: texts on which `initialise="svd"` chooses what to keep of a wider teacher.
        layers: a number of layers, or their indices from 0. Default: half of the teacher's.
        hidden: width. Default: the teacher's.
        mse, cosine, relations: weights; the paper uses MSE alone.

    Raises:
        ValueError: more layers than the teacher has, all weights 0.
    """
    student = text_student(teacher, items, layers=layers, hidden=hidden, initialise=initialise)
    return student, [terms_stage(embedding_terms(mse, cosine, relations)(), passes(epochs), bert_adamw(lr), name="embeddings")]


def embedding_terms(mse: float, cosine: float, relations: float) -> TermFactory:
    """Returns a function that makes the terms of the loss of `embeddings`."""
    return weighted_terms(
        (mse, lambda: [Term(EmbeddingMSE())]),
        (cosine, lambda: [Term(EmbeddingCosine())]),
        (relations, lambda: [Term(RKDCosine())]),
    )
