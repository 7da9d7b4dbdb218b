"""Reads files for the sources of a recipe, as the recipe reads its training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck.data import Items
from limbeck.data.storage import TextStorage
from limbeck.recipe.dataset_reader import DatasetReader
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.schema.data import DatasetSpec


class SourceReader:
    """Reads the files that sources name.

    Args:
        reader: of the data of the recipe.
    """

    def __init__(self, reader: DatasetReader) -> None:
        self.reader = reader

    def items(self, data: Any) -> Items:
        """Returns the items of a data set: a path, or a mapping with the fields of `data.train`."""
        return self.reader.items(DatasetSpec.model_validate(data))

    def texts(self, data: Any) -> list[str]:
        """Returns the texts of a data set as they are in its file.

        Raises:
            RecipeError: it holds no texts.
        """
        spec = DatasetSpec.model_validate(data)
        storage = self.reader.raw_items(spec.model_copy(update={"label": False})).storage
        if not isinstance(storage, TextStorage):
            raise RecipeError(f"sources: {spec.path} holds no texts; name the column that does (input: …)")
        return [text if isinstance(text, str) else " ".join(text) for text in storage.texts]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of each text, without special tokens: a text may go on."""
        found: list[list[int]] = self.reader.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found
