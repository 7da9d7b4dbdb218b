"""Static embeddings: one vector a token, made from a sentence encoder and then trained on it (Model2Vec and its successor)."""

from __future__ import annotations

import functools

from torch import nn

from limbeck.core.schedules import Cosine, Warmup
from limbeck.data import Items
from limbeck.engine import Optimizer
from limbeck.engine import epochs as passes
from limbeck.engine.training import Phase
from limbeck.methods.offline.embeddings import embedding_terms
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import static_student
from limbeck.tasks import Task


def static_embeddings(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    dimensions: int | None = 256,
    sif: float = 1e-4,
    half: bool = True,
    mse: float = 0.0,
    cosine: float = 1.0,
    relations: float = 5.0,
    epochs: float = 5.0,
    lr: float = 3e-3,
) -> tuple[FromTeacher, list[Phase]]:
    """A table of token vectors in place of a network: each token alone through the teacher, projected on the leading
    directions, frequent tokens weighed down; then the table learns where the teacher puts whole texts:

    mse · MSE + cosine · (1 − cos), through a learned linear map where widths differ, + relations · Huber of the cosines between
    the texts of a batch.

    Args:
        teacher: a `SentenceEncoder` (model `sentence_transformers`).
        task: `SentenceEmbeddings`.
        dimensions: of the vectors; None: the teacher's.
        half: keep the table in float16, half of the file for the same answers but for rounding; training is in float32.
        sif: a of the weights a/(a + p), p a token's probability.
        epochs, lr: a table takes large steps; there are no other weights.

    Raises:
        ValueError: a teacher that is no sentence encoder, more dimensions than it has, all weights 0.

    Source: Tulkens & van Dongen 2024 (Model2Vec and its training on sentence embeddings).
    """
    student = FromTeacher(functools.partial(static_student, dimensions=dimensions, sif=sif, half=half))
    optimizer = Optimizer("adam", lr, Warmup(0.05, then=Cosine()))
    return student, [Phase(embedding_terms(mse, cosine, relations), passes(epochs), optimizer, name="embeddings")]
