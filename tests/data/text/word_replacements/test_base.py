"""What all word replacements have in common."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from limbeck.data import EmbeddingReplacements, FallbackReplacements, MaskedModelReplacements
from limbeck.data.text.words import WordSpans, distinct_words
from tests.data.text.word_replacements.models import TEXTS, VOCABULARY, masked_model, parsed, table
from tests.data.tiny_tokenizers import of_words


class Fixed:
    """Candidates from a dictionary."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.identity = f"fixed {answers}"

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        return [[tuple(self.answers.get(word, "").split()) for word in text.words] for text in texts]


def test_the_first_provider_with_candidates_is_used() -> None:
    first, second = Fixed({"good": "fine nice"}), Fixed({"good": "bad", "film": "movie"})
    both = FallbackReplacements(first, second)
    assert both(parsed(["good film", "", "late good"])) == [[("fine", "nice"), ("movie",)], [], [(), ("fine", "nice")]]
    assert both.identity != FallbackReplacements(second, first).identity
    with pytest.raises(ValueError, match="providers: expected one or more"):
        FallbackReplacements()


def test_candidates_are_in_alphabetical_order() -> None:
    words, vectors = table()
    tokenizer = of_words(VOCABULARY)
    for provider in (EmbeddingReplacements(words, vectors), MaskedModelReplacements(masked_model(tokenizer), tokenizer)):
        for text in provider(parsed([*TEXTS, " ".join(words)])):
            for word in text:
                assert list(word) == sorted(set(word))
    assert distinct_words("x", ["b", "a"], 2) == ("a", "b")
