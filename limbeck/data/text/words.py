"""The words of a text, which can be exchanged while everything between them stays as it is."""

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
    """A text, and where its words stand in it.

    A word is what stands between blanks without the punctuation at its ends, if nothing but letters is left, or letters around
    apostrophes and hyphens. So numbers (`2nd`), abbreviations (`U.S.`), addresses and lone punctuation are no words, nor are
    endings that were cut off (`'s`).

    Attributes:
        text: as it was given.
        spans: first character of each word, and the one after its last.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> WordSpans:
        """The words of `text`."""
        return cls(text, tuple(found.span(2) for found in _BETWEEN_BLANKS.finditer(text) if _is_attached(*found.group(1, 3))))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """How they are written."""
        return tuple(self.text[start:end] for start, end in self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def replace(self, words: Iterable[str | None]) -> str:
        """The text with another word in place of each of its own; None: the word stays."""
        parts, done = [], 0
        for (start, end), word in zip(self.spans, words, strict=True):
            if word is not None:
                parts += [self.text[done:start], word]
                done = end
        return "".join([*parts, self.text[done:]])


def is_word(text: str) -> bool:
    """Whether nothing but letters, or letters around apostrophes and hyphens, is in it."""
    return _WHOLE.fullmatch(text) is not None


def match_case(word: str, other: str) -> str:
    """`other` with the first letter large or small as that of `word`, or all in capitals where `word` is."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return (other[:1].upper() if word[:1].isupper() else other[:1].lower()) + other[1:]


def distinct_words(word: str, others: Iterable[str], count: int) -> tuple[str, ...]:
    """The first `count` of `others` in the case of `word`, without `word` itself and without one that is already there,
    however these are capitalised; in the order of the alphabet.
    """
    found: dict[str, str] = {}
    for other in others:
        if other.casefold() != word.casefold():
            found.setdefault(other.casefold(), match_case(word, other))
        if len(found) == count:
            break
    return tuple(sorted(found.values()))


def whole_word_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens of a vocabulary that are words by themselves, by id: no pieces of words, special tokens, numbers or signs.

    Whether a token is the piece of a word is found out by spelling it and encoding that after a blank, so that it does not
    matter how a tokenizer marks its pieces (`##ing`, `Ġword`, `▁word`).
    """
    special = set(tokenizer.all_special_ids)
    ids = sorted(id for id in tokenizer.get_vocab().values() if id not in special)
    spelled = [tokenizer.convert_tokens_to_string([token]).strip() for token in tokenizer.convert_ids_to_tokens(ids)]
    words = {id: word for id, word in zip(ids, spelled, strict=True) if is_word(word)}
    if not words:
        return {}
    encoded: Sequence[Sequence[int]] = tokenizer([f" {word}" for word in words.values()], add_special_tokens=False)["input_ids"]
    return {id: word for (id, word), own in zip(words.items(), encoded, strict=True) if list(own) == [id]}


def _is_attached(before: str, after: str) -> bool:
    """Whether these signs are punctuation of a whole word: no accents or vowel signs written on its letters, and no apostrophe
    in front without one behind, as of an ending that was cut off its word.
    """
    signs = all(unicodedata.category(sign)[0] in "PS" for sign in before + after)
    return signs and not (before.endswith(("'", "’")) and not after.startswith(("'", "’")))
