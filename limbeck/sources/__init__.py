"""Where inputs come from: data sets by name or path, keyed views of them, and batches that are functions of their place."""

from limbeck.sources.batch import Batch, Place, Source
from limbeck.sources.contexts import WindowStorage, answers_from, split_windows, windows
from limbeck.sources.dataset import Dataset, evaluation_batches
from limbeck.sources.items import Items
from limbeck.sources.load import load_items
from limbeck.sources.masking import Masking, Vocabulary, mask_tokens
from limbeck.sources.questions import Questions, load_questions
from limbeck.sources.texts import tokenize
from limbeck.sources.tokens import TokenStorage
from limbeck.sources.views import Pipeline, to_float

__all__ = [
    "Batch",
    "Dataset",
    "Items",
    "Masking",
    "Pipeline",
    "Place",
    "Questions",
    "Source",
    "TokenStorage",
    "Vocabulary",
    "WindowStorage",
    "answers_from",
    "evaluation_batches",
    "load_items",
    "load_questions",
    "mask_tokens",
    "split_windows",
    "to_float",
    "tokenize",
    "windows",
]
