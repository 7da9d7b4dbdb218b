"""Where inputs come from: data sets by name or path, keyed views of them, and batches that are functions of their place."""

from limbeck.sources.augmentation import Augmented, augment
from limbeck.sources.batch import Batch, Place, Source
from limbeck.sources.candidates import FirstOf, MaskedCandidates, NeighbourWords
from limbeck.sources.contexts import WindowStorage, answers_from, split_windows, windows
from limbeck.sources.dataset import Dataset, evaluation_batches
from limbeck.sources.items import Items, reading_of
from limbeck.sources.load import load_items
from limbeck.sources.masking import Masking, Vocabulary, mask_tokens
from limbeck.sources.parallel import Parallel, side_by_side
from limbeck.sources.questions import Questions, load_questions
from limbeck.sources.texts import tokenize
from limbeck.sources.tokens import TokenStorage
from limbeck.sources.views import Pipeline, to_float

__all__ = [
    "Augmented",
    "Batch",
    "Dataset",
    "FirstOf",
    "Items",
    "MaskedCandidates",
    "Masking",
    "NeighbourWords",
    "Parallel",
    "Pipeline",
    "Place",
    "Questions",
    "Source",
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
