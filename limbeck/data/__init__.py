"""Where inputs come from: data sets by name or path, keyed views of them, and batches that are functions of their place."""

from limbeck.data.dataset import Dataset, evaluation_batches
from limbeck.data.items import Items, reading_of
from limbeck.data.loading.load import load_items
from limbeck.data.text.augmentation import Augmented, augment
from limbeck.data.text.masking import Masking, Vocabulary, mask_tokens
from limbeck.data.text.per_actor import Parallel, side_by_side
from limbeck.data.text.qa_windows import WindowStorage, answers_from, split_windows, windows
from limbeck.data.text.questions import Questions, load_questions
from limbeck.data.text.token_storage import TokenStorage
from limbeck.data.text.tokenize import tokenize
from limbeck.data.text.word_replacements import FirstOf, MaskedCandidates, NeighbourWords
from limbeck.data.views import Pipeline, to_float

__all__ = [
    "Augmented",
    "Dataset",
    "FirstOf",
    "Items",
    "MaskedCandidates",
    "Masking",
    "NeighbourWords",
    "Parallel",
    "Pipeline",
    "Questions",
    "TokenStorage",
    "Vocabulary",
    "WindowStorage",
    "answers_from",
    "augment",
    "evaluation_batches",
    "load_items",
    "load_questions",
    "mask_tokens",
    "reading_of",
    "side_by_side",
    "split_windows",
    "to_float",
    "tokenize",
    "windows",
]
