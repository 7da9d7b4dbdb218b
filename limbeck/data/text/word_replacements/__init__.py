"""Candidate replacements for a word: from a masked language model, or from word vectors."""

from limbeck.data.text.word_replacements.base import FallbackReplacements, WordReplacements
from limbeck.data.text.word_replacements.embeddings import EmbeddingReplacements
from limbeck.data.text.word_replacements.masked_model import MaskedModelReplacements

__all__ = ["EmbeddingReplacements", "FallbackReplacements", "MaskedModelReplacements", "WordReplacements"]
