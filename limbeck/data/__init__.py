"""Where inputs come from: data sets by name or path, keyed views of them, and batches that are functions of their place."""

from limbeck.data.dataset import Dataset, evaluation_batches
from limbeck.data.image.pipeline import Pipeline, to_float
from limbeck.data.items import Items, input_for_actor
from limbeck.data.loading.load import load_items
from limbeck.data.text.augmentation import AugmentationReport, augment_texts
from limbeck.data.text.masking import Masking, MaskingVocabulary, mask_tokens
from limbeck.data.text.per_actor import PerActorStorage, per_actor_items
from limbeck.data.text.qa_windows import WindowStorage, extract_answers, split_by_question, tokenize_questions
from limbeck.data.text.questions import Questions, load_questions
from limbeck.data.text.token_storage import TokenStorage
from limbeck.data.text.tokenize import tokenize
from limbeck.data.text.word_replacements import EmbeddingReplacements, FallbackReplacements, MaskedModelReplacements

__all__ = [
    "AugmentationReport",
    "Dataset",
    "EmbeddingReplacements",
    "FallbackReplacements",
    "Items",
    "MaskedModelReplacements",
    "Masking",
    "MaskingVocabulary",
    "PerActorStorage",
    "Pipeline",
    "Questions",
    "TokenStorage",
    "WindowStorage",
    "augment_texts",
    "evaluation_batches",
    "extract_answers",
    "input_for_actor",
    "load_items",
    "load_questions",
    "mask_tokens",
    "per_actor_items",
    "split_by_question",
    "to_float",
    "tokenize",
    "tokenize_questions",
]
