"""Finds the words of a text, so that they can be replaced while everything between them stays as it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"  # letters, with apostrophes and hyphens inside: film, don't, re-open
_WHOLE = re.compile(WORD)
_BETWEEN_BLANKS = re.compile(rf"(?<!\S)([^\w\s]*)({WORD})([^\w\s]*)(?!\S)")


@dataclass(frozen=True)
class WordSpans:
    """A text and the positions of its words.

    A word is a string between white space, without the punctuation at its ends, if it consists of letters, or of letters
    around apostrophes and hyphens. Numbers (`2nd`), abbreviations (`U.S.`), addresses, lone punctuation and endings that were
    cut off (`'s`) are not words.

    Attributes:
        text: the text.
        spans: start and end of each word, in characters.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> WordSpans:
        """Find the words of `text`."""
        return cls(text, tuple(found.span(2) for found in _BETWEEN_BLANKS.finditer(text) if _is_attached(*found.group(1, 3))))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words as they stand in the text."""
        return tuple(self.text[start:end] for start, end in self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def replace(self, words: Iterable[str | None]) -> str:
        """The text with each word replaced; None leaves a word as it is."""
        parts, done = [], 0
        for (start, end), word in zip(self.spans, words, strict=True):
            if word is not None:
                parts += [self.text[done:start], word]
                done = end
        return "".join([*parts, self.text[done:]])


def is_word(text: str) -> bool:
    """Whether a string consists of letters, or of letters around apostrophes and hyphens."""
    return _WHOLE.fullmatch(text) is not None


def match_case(word: str, other: str) -> str:
    """`other` in capitals if `word` is, else with its first letter in the case of `word`'s."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return (other[:1].upper() if word[:1].isupper() else other[:1].lower()) + other[1:]


def distinct_words(word: str, others: Iterable[str], count: int) -> tuple[str, ...]:
    """The first `count` of `others` that differ from `word` and from each other in more than case.

    They are returned in the case of `word`, in alphabetical order.
    """
    found: dict[str, str] = {}
    for other in others:
        if other.casefold() != word.casefold():
            found.setdefault(other.casefold(), match_case(word, other))
        if len(found) == count:
            break
    return tuple(sorted(found.values()))


def whole_word_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens of a vocabulary that are words, by id, without pieces of words, special tokens, numbers and punctuation.

    A token is a whole word if its text, encoded after a space, is this one token. This does not depend on how a tokenizer
    marks pieces (`##ing`, `Ġword`, `▁word`).
    """
    special = set(tokenizer.all_special_ids)
    ids = sorted(id for id in tokenizer.get_vocab().values() if id not in special)
    texts = [tokenizer.convert_tokens_to_string([token]).strip() for token in tokenizer.convert_ids_to_tokens(ids)]
    words = {id: text for id, text in zip(ids, texts, strict=True) if is_word(text)}
    if not words:
        return {}
    encoded: Sequence[Sequence[int]] = tokenizer([f" {word}" for word in words.values()], add_special_tokens=False)["input_ids"]
    return {id: word for (id, word), own in zip(words.items(), encoded, strict=True) if list(own) == [id]}


def _is_attached(before: str, after: str) -> bool:
    """Whether these characters are punctuation around a whole word.

    They are not if they are accents or vowel signs of its letters, or an apostrophe in front without one behind, as of an
    ending that was cut off its word.
    """
    signs = all(unicodedata.category(sign)[0] in "PS" for sign in before + after)
    return signs and not (before.endswith(("'", "’")) and not after.startswith(("'", "’")))
