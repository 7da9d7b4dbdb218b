"""Where tokenizers part: the first token that means something else to one of them, in their vocabularies or in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def vocabulary_difference(
    ours: Mapping[str, int], theirs: Mapping[str, int], names: tuple[str, str] = ("the student's", "the teacher's")
) -> str | None:
    """The first id that stands for other tokens in two vocabularies, for a message; None where they are the same.

    Args:
        ours, theirs: of the student and of the teacher, tokens with their ids, as `tokenizer.get_vocab()` gives them.
        names: whose the two are, in the message.
    """
    unlike = ours.items() ^ theirs.items()
    if not unlike:
        return None
    number = min(number for _, number in unlike)
    student, teacher = _called(ours, theirs, number), _called(theirs, ours, number)
    return f"token {number} is {teacher} in {names[1]} vocabulary and {student} in {names[0]}"


def _called(vocabulary: Mapping[str, int], other: Mapping[str, int], number: int) -> str:
    """The token with an id; of several, one that the other vocabulary does not have there."""
    words = [word for word, at in vocabulary.items() if at == number]
    return repr(min(words, key=lambda word: (other.get(word) == number, word))) if words else "no token"


def first_mismatch(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """The place of the first entry that is not the same in both; -1 where there is none."""
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return place
    return -1 if len(ours) == len(theirs) else min(len(ours), len(theirs))


def strip_spans(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """From where to where in its text each token stands, without white space at its ends; (0, 0) for those of no text.

    Some tokenizers count the space before a word as part of it, which tells nothing of how the word is cut.
    """
    found = []
    for start, end, text in spans:
        word = text[start:end]
        found.append((start + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip())) if word.strip() else (0, 0))
    return found


def describe_token(token: int, where: str, words: Mapping[str, str]) -> str:
    """A place where tokens part, for a message: "token 3 of item 17: student 'un' + '##able', teacher 'unable'"."""
    return f"token {token} of {where}: {', '.join(f'{name} {said}' for name, said in words.items())}"
