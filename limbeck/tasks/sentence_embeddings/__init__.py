"""Sentence embeddings: one vector per text, evaluated by a linear probe, by its neighbours, or against the teacher."""

from limbeck.tasks.sentence_embeddings.task import SentenceEmbeddings

__all__ = ["SentenceEmbeddings"]
