"""Finds the first token on which two tokenizers differ, in their vocabularies or in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def vocabulary_difference(
    ours: Mapping[str, int], theirs: Mapping[str, int], names: tuple[str, str] = ("the student's", "the teacher's")
) -> str | None:
    """Describes the first id that stands for different tokens in two vocabularies; None if they are equal.

    Args:
        ours, theirs: ids by token, as `tokenizer.get_vocab()` returns them.
        names: whose vocabularies they are, for the message.
    """
    unlike = ours.items() ^ theirs.items()
    if not unlike:
        return None
    number = min(number for _, number in unlike)
    student, teacher = _token_of(ours, theirs, number), _token_of(theirs, ours, number)
    return f"token {number} is {teacher} in {names[1]} vocabulary and {student} in {names[0]}"


def _token_of(vocabulary: Mapping[str, int], other: Mapping[str, int], number: int) -> str:
    """The token with an id; of several, one that does not have this id in the other vocabulary."""
    tokens = [token for token, id in vocabulary.items() if id == number]
    return repr(min(tokens, key=lambda token: (other.get(token) == number, token))) if tokens else "no token"


def first_mismatch(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Index of the first entry that differs; -1 if the sequences are equal."""
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return index
    return -1 if len(ours) == len(theirs) else min(len(ours), len(theirs))


def strip_spans(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """Removes white space at both ends of the spans of tokens; (0, 0) for tokens that stand for no characters.

    Some tokenizers count the space before a word as part of its token, which does not change how the text is cut.

    Args:
        spans: start, end and text of each token.
    """
    stripped = []
    for start, end, text in spans:
        word = text[start:end]
        stripped.append(
            (start + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip())) if word.strip() else (0, 0)
        )
    return stripped


def describe_token(token: int, where: str, shown: Mapping[str, str]) -> str:
    """A message about a token that differs: "token 3 of item 17: student 'un' + '##able', teacher 'unable'"."""
    return f"token {token} of {where}: {', '.join(f'{name} {tokens}' for name, tokens in shown.items())}"
