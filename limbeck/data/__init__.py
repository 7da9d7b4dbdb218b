"""Data sets, their items and views, and the sources that make batches of them.

    items = load_items("train.parquet")                                    # Items: inputs, content keys, labels
    views = {"default": Pipeline.from_spec(["random_crop", "horizontal_flip"])}
    source = Dataset(items, batch_size=128, views=views)                   # batches by position

`loading` reads files; `image`, `audio`, `text` and `table` hold what is particular to a modality, `sources` makes inputs that
no data set holds.
"""

from limbeck.data.audio import AudioOptions
from limbeck.data.dataset import Dataset, evaluation_batches
from limbeck.data.fields import FieldStorage, Modality, field_items, map_field
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.image.transform import to_float
from limbeck.data.items import Items
from limbeck.data.loading.as_items import as_items
from limbeck.data.loading.fields import load_fields
from limbeck.data.loading.load import load_items
from limbeck.data.overlapping import OverlappingDataset
from limbeck.data.sources import DatasetFile, Generated, OwnSamples, Pool
from limbeck.data.storage import input_for_actor
from limbeck.data.table import TableEncoder, TableOptions, TableStorage, encode_tables
from limbeck.data.text.augmentation import AugmentationReport, augment_texts
from limbeck.data.text.masking import Masking, MaskingVocabulary, mask_tokens
from limbeck.data.text.next_tokens import NextTokens
from limbeck.data.text.per_actor import PerActorStorage, per_actor_items
from limbeck.data.text.qa_answers import extract_answers
from limbeck.data.text.qa_windows import WindowStorage, split_by_question, tokenize_questions
from limbeck.data.text.questions import Questions, load_questions
from limbeck.data.text.tagged_tokens import TagTargets, WordStorage, tokenize_words
from limbeck.data.text.tagged_words import TaggedWords, load_tagged_words
from limbeck.data.text.token_storage import TokenStorage
from limbeck.data.text.tokenization import tokenize
from limbeck.data.text.word_replacements import EmbeddingReplacements, FallbackReplacements, MaskedModelReplacements

__all__ = [
    "AudioOptions",
    "AugmentationReport",
    "Dataset",
    "DatasetFile",
    "EmbeddingReplacements",
    "FallbackReplacements",
    "FieldStorage",
    "Generated",
    "Items",
    "MaskedModelReplacements",
    "Masking",
    "MaskingVocabulary",
    "Modality",
    "NextTokens",
    "OverlappingDataset",
    "OwnSamples",
    "PerActorStorage",
    "Pipeline",
    "Pool",
    "Questions",
    "TableEncoder",
    "TableOptions",
    "TableStorage",
    "TagTargets",
    "TaggedWords",
    "TokenStorage",
    "WindowStorage",
    "WordStorage",
    "as_items",
    "augment_texts",
    "encode_tables",
    "evaluation_batches",
    "extract_answers",
    "field_items",
    "input_for_actor",
    "load_fields",
    "load_items",
    "load_questions",
    "load_tagged_words",
    "map_field",
    "mask_tokens",
    "per_actor_items",
    "split_by_question",
    "to_float",
    "tokenize",
    "tokenize_questions",
    "tokenize_words",
]
