"""The first token on which two tokenizers differ."""

from __future__ import annotations

from limbeck.data.text.tokenizer_alignment import vocabulary_difference


def test_the_first_token_in_which_vocabularies_differ_is_named() -> None:
    ours, theirs = {"[PAD]": 0, "the": 1, "The": 2, "x": 3}, {"[PAD]": 0, "The": 1, "the": 2}
    expected = "token 1 is 'The' in the teacher's vocabulary and 'the' in the student's"
    assert vocabulary_difference(ours, theirs) == expected
    assert vocabulary_difference(ours, dict(reversed(ours.items()))) is None
    more = "token 4 is no token in the teacher's vocabulary and 'y' in the student's"
    assert vocabulary_difference(ours | {"y": 4}, ours) == more
    twice = "token 3 is 'alias' in the teacher's vocabulary and 'x' in the student's"
    assert vocabulary_difference(ours, ours | {"alias": 3}) == twice
