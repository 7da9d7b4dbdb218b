"""The interface of word replacements, and what its implementations share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from torch import nn

from limbeck.data.text.words import WordSpans

Item = TypeVar("Item")


class WordReplacements(Protocol):
    """Finds candidate replacements for each word of some texts.

    Attributes:
        identity: names everything that the results depend on; caches of altered texts are found by it.
    """

    @property
    def identity(self) -> str: ...

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        """Candidates for each word of each text, empty if there are none.

        Candidates are written as they would stand in the text. They are in alphabetical order, so that rounding of their
        scores does not change the order.
        """
        ...


class FallbackReplacements:
    """For each word the candidates of the first provider that has any.

    TinyBERT uses `FallbackReplacements(MaskedModelReplacements(…), EmbeddingReplacements(…))`.

    Raises:
        ValueError: no providers.
    """

    def __init__(self, *providers: WordReplacements) -> None:
        if not providers:
            raise ValueError("providers: expected one or more, such as MaskedModelReplacements(…) and EmbeddingReplacements(…)")
        self.providers = providers

    @property
    def identity(self) -> str:
        return " or else ".join(each.identity for each in self.providers)

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        by_text = zip(*(each(texts) for each in self.providers), strict=True)
        return [[next(filter(None, options), ()) for options in zip(*words, strict=True)] for words in by_text]


def required_count(words: Collection[str], count: int) -> int:
    """How many of the best words suffice to find `count` that differ in more than case from the word itself, from another
    spelling of it and from each other.
    """
    spellings = max(Counter(map(str.casefold, words)).values(), default=0)
    return min(spellings * (count + 2), len(words))


def check_vocabulary(model: nn.Module, words: Mapping[int, str]) -> None:
    """Raises if there are no whole words, or if the model has no embedding for their ids."""
    rows = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if not words:
        raise ValueError("the tokenizer has no token that is a whole word; choose a model of words or pieces of words")
    if max(words) >= rows:
        raise ValueError(f"the tokenizer has ids up to {max(words)}, the model {rows} embeddings: they do not belong together")


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in groups of `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
