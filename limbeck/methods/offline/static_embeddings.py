"""Static embeddings from a sentence encoder: one vector per token (Tulkens & van Dongen 2024, Model2Vec)."""

from __future__ import annotations

import functools

from torch import nn

from limbeck.core.schedules import Cosine, Warmup
from limbeck.data import Items
from limbeck.engine import Optimizer, Stage
from limbeck.engine import epochs as passes
from limbeck.engine.stages import terms_stage
from limbeck.methods.offline.embeddings import embedding_terms
from limbeck.methods.registration import registry
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import static_student
from limbeck.tasks import Task


@registry.register("static_embeddings")
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
) -> tuple[FromTeacher, list[Stage]]:
    """Replaces the encoder by a table of token vectors, and trains the table on the teacher's embeddings of texts.

    A vector is the teacher's embedding of the token alone, projected on the leading principal directions and weighted by
    a/(a + p), where p is the token's probability. The loss is that of `embeddings`:

    mse · MSE + cosine · (1 − cos), after a learned linear map if the widths differ, + relations · Huber of the cosines between
    the texts of a batch.

    Args:
        teacher: a `SentenceEncoder` (model `sentence_transformers`).
        task: `SentenceEmbeddings`.
        dimensions: of the vectors; None: the teacher's.
        sif: a of the weights a/(a + p).
        half: whether the table is saved in float16, which halves the file and changes embeddings by rounding only; training
            is in float32.
        epochs, lr: a table takes large steps; there are no other weights.

    Raises:
        ValueError: the teacher is no sentence encoder, more dimensions than it has, all weights 0.
    """
    student = FromTeacher(functools.partial(static_student, dimensions=dimensions, sif=sif, half=half))
    optimizer = Optimizer("adam", lr, Warmup(0.05, then=Cosine()))
    return student, [terms_stage(embedding_terms(mse, cosine, relations)(), passes(epochs), optimizer, name="embeddings")]
