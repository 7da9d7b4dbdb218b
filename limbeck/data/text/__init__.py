"""Texts: tokenization, masking, questions with contexts, and augmentation."""

from limbeck.data.text.augmentation import AugmentationReport, augment_texts
from limbeck.data.text.masking import Masking, MaskingVocabulary, mask_tokens
from limbeck.data.text.per_actor import PerActorStorage, per_actor_items
from limbeck.data.text.qa_answers import extract_answers
from limbeck.data.text.qa_windows import WindowStorage, split_by_question, tokenize_questions
from limbeck.data.text.questions import Questions, load_questions
from limbeck.data.text.tagged_tokens import TagTargets, WordStorage, tokenize_words
from limbeck.data.text.tagged_words import TaggedWords, load_tagged_words
from limbeck.data.text.token_storage import TokenStorage
from limbeck.data.text.tokenization import tokenize
from limbeck.data.text.word_replacements import (
    EmbeddingReplacements,
    FallbackReplacements,
    MaskedModelReplacements,
    WordReplacements,
)

__all__ = [
    "AugmentationReport",
    "EmbeddingReplacements",
    "FallbackReplacements",
    "MaskedModelReplacements",
    "Masking",
    "MaskingVocabulary",
    "PerActorStorage",
    "Questions",
    "TagTargets",
    "TaggedWords",
    "TokenStorage",
    "WindowStorage",
    "WordReplacements",
    "WordStorage",
    "augment_texts",
    "extract_answers",
    "load_questions",
    "load_tagged_words",
    "mask_tokens",
    "per_actor_items",
    "split_by_question",
    "tokenize",
    "tokenize_questions",
    "tokenize_words",
]
