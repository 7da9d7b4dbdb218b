"""The first token on which two tokenizers differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch, strip_spans, vocabulary_difference


def test_the_first_token_in_which_vocabularies_differ_is_named() -> None:
    ours, theirs = {"[PAD]": 0, "the": 1, "The": 2, "x": 3}, {"[PAD]": 0, "The": 1, "the": 2}
    expected = "token 1 is 'The' in the teacher's vocabulary and 'the' in the student's"
    assert vocabulary_difference(ours, theirs) == expected
    assert vocabulary_difference(ours, dict(reversed(ours.items()))) is None
    more = "token 4 is no token in the teacher's vocabulary and 'y' in the student's"
    assert vocabulary_difference(ours | {"y": 4}, ours) == more
    twice = "token 3 is 'alias' in the teacher's vocabulary and 'x' in the student's"
    assert vocabulary_difference(ours, ours | {"alias": 3}) == twice


@given(st.lists(st.integers(0, 2), max_size=6), st.lists(st.integers(0, 2), max_size=6))
def test_up_to_the_first_mismatch_sequences_are_equal(ours: list[int], theirs: list[int]) -> None:
    index = first_mismatch(ours, theirs)
    if index < 0:
        assert ours == theirs
    else:
        assert ours[:index] == theirs[:index]
        assert ours[index : index + 1] != theirs[index : index + 1]


@given(st.text(" ab\n", max_size=8), st.data())
def test_stripped_spans_hold_the_same_word(text: str, data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
    ((first, last),) = strip_spans([(start, end, text)])
    assert text[first:last] == text[start:end].strip()


def test_a_message_names_the_token_of_each_side() -> None:
    shown = {"student": "'un' + '##able'", "teacher": "'unable'"}
    assert describe_token(3, "item 17", shown) == "token 3 of item 17: student 'un' + '##able', teacher 'unable'"
