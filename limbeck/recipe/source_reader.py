"""Reading the files of a recipe's sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from limbeck.core.source import Source
from limbeck.data import Items
from limbeck.data.sources.prompts import open_ended
from limbeck.data.storage import TextStorage
from limbeck.recipe.dataset_reader import DatasetReader
from limbeck.recipe.errors import RecipeError, format_error
from limbeck.recipe.schema.data import DatasetSpec


class SourceReader:
    """Reads files for `Source.load`, as the reader of a recipe reads its training data.

    Args:
        reader: of the recipe.
    """

    def __init__(self, reader: DatasetReader) -> None:
        self.reader = reader

    def items(self, data: Any) -> Items:
        """Returns the items of a data set as models read them.

        Args:
            data: a path, or the fields of `data.train`.
        """
        return self.reader.items(source_data(data))

    def texts(self, data: Any) -> list[str]:
        """Returns the texts of a data set.

        Raises:
            RecipeError: its items are no texts, or pairs of them.
        """
        spec = source_data(data)
        storage = self.reader.raw_items(spec).storage
        if not isinstance(storage, TextStorage) or storage.pairs:
            raise RecipeError(f"sources: {spec.path} holds no texts, or pairs of them; name the column of texts by input:")
        return [str(text) for text in storage.texts]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of each text, by the tokenizer of the models.

        A token that the tokenizer puts at the end of every text is left out: what follows it would be another text.
        """
        return open_ended(self.reader.tokenizer, texts)


def source_data(data: Any) -> DatasetSpec:
    """Returns the description of a data set that a source reads.

    Raises:
        ValueError: unknown fields (the nearest are offered), or values that they cannot have.
    """
    try:
        return DatasetSpec.model_validate(data)
    except ValidationError as error:
        raise ValueError("; ".join(format_error(DatasetSpec, each).strip() for each in error.errors())) from error


def check_source_data(sources: Mapping[str, Source]) -> None:
    """Raises a `ValueError` if a source describes what it reads in fields that a data set does not have."""
    for name, source in sources.items():
        if source.data is not None:
            try:
                source_data(source.data)
            except ValueError as error:
                raise ValueError(f"sources.{name}: {error}") from error
