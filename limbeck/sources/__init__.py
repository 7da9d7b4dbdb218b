"""Where inputs come from: data sets by name or path, keyed views of them, and batches that are functions of their place."""

from limbeck.sources.batch import Batch, Place, Source
from limbeck.sources.dataset import Dataset, evaluation_batches
from limbeck.sources.items import Items
from limbeck.sources.load import load_items
from limbeck.sources.views import Pipeline, to_float

__all__ = [
    "Batch",
    "Dataset",
    "Items",
    "Pipeline",
    "Place",
    "Source",
    "evaluation_batches",
    "load_items",
    "to_float",
]
