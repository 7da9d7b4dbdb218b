"""Words: what counts as one, exchange that leaves everything else alone, capitals, and the whole words of a vocabulary."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.data.text.words import Words, distinct, in_case_of, is_word, whole_words
from tests.data.tiny_tokenizers import SPECIAL, byte_bpe, of_words, wordpiece


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick brown fox.", ["The", "quick", "brown", "fox"]),
        ("don't re-open rock’n’roll", ["don't", "re-open", "rock’n’roll"]),
        ('"Quoted," (and) ¡so!', ["Quoted", "and", "so"]),
        ("'quoted' ‘quoted’", ["quoted", "quoted"]),
        ("naïve café Straße слово 日本", ["naïve", "café", "Straße", "слово", "日本"]),
        ("2nd x2 3 4.5 1,000", []),
        ("U.S. e.g. a.b", []),
        ("it 's they 're 'tis", ["it", "they"]),
        ("http://a.b/c me@there.org snake_case and/or", []),
        ("- -- ... ! 'a", []),
        ("cafe\u0301 cafe", ["cafe"]),  # with an accent written behind it, the e is no whole letter
        ("tab\tline\nend\u00a0there", ["tab", "line", "end", "there"]),
        ("well--known trailing- -leading a'", ["trailing", "leading", "a"]),
        ("", []),
        ("  ", []),
    ],
)
def test_what_is_a_word(text: str, words: list[str]) -> None:
    assert list(Words.of(text).words) == words


@given(st.text(alphabet=string.ascii_letters + " \t\n.,'’-é1_\u0301", max_size=40))
def test_spans_hold_the_words_and_nothing_else_changes(text: str) -> None:
    parsed = Words.of(text)
    assert len(parsed) == len(parsed.words)
    assert [text[start:end] for start, end in parsed.spans] == list(parsed.words)
    assert all(map(is_word, parsed.words))
    assert parsed.exchanged([None] * len(parsed)) == text
    marked = parsed.exchanged(f"<{word}>" for word in parsed.words)
    assert marked.replace("<", "").replace(">", "") == text
    assert [part.split(">")[0] for part in marked.split("<")[1:]] == list(parsed.words)


def test_an_exchange_leaves_what_stands_between_words() -> None:
    words = Words.of("  A fine,\tfine day - isn't it?\n")
    assert words.exchanged(["One", None, "poor", None, "wasn't", None]) == "  One fine,\tpoor day - wasn't it?\n"
    with pytest.raises(ValueError, match="shorter"):
        words.exchanged(["One"])


def test_long_texts_are_read_in_linear_time() -> None:
    """Nothing here may be tried in all ways: this would take years."""
    assert Words.of("-".join("a" * 20_000) + "1").words == ()
    assert Words.of("'" * 20_000 + "a" * 20_000 + "1").words == ()


@pytest.mark.parametrize(
    ("word", "other", "cased"),
    [
        ("good", "Bad", "bad"),
        ("Good", "bad", "Bad"),
        ("GOOD", "bad", "BAD"),
        ("I", "you", "You"),
        ("a", "The", "the"),
        ("McCoy", "smith", "Smith"),
        ("Élan", "éclat", "Éclat"),
        ("café", "iPhone", "iPhone"),
    ],
)
def test_case_of_the_word_that_was_there(word: str, other: str, cased: str) -> None:
    assert in_case_of(word, other) == cased


def test_distinct_words_are_the_first_ones_in_the_order_of_the_alphabet() -> None:
    others = ["good", "Zeal", "GOOD", "zeal", "able", "fine", "Fine", "late"]
    assert distinct("Good", others, 3) == ("Able", "Fine", "Zeal")
    assert distinct("Good", others, 10) == ("Able", "Fine", "Late", "Zeal")
    assert distinct("good", ["Good"], 2) == ()


def test_whole_words_are_no_pieces_signs_numbers_or_special_tokens() -> None:
    tokenizer = of_words(["film", "##ing", "ing", "!", "2", "2nd", "don", "é", "a"])
    known = {tokenizer.convert_tokens_to_ids(word): word for word in ("film", "ing", "don", "a")}
    assert whole_words(tokenizer) == known  # é is never reached: the tokenizer takes its accent off


@pytest.mark.parametrize("tokenizer", [wordpiece(), byte_bpe(size=400)], ids=["wordpiece", "byte_bpe"])
def test_a_whole_word_is_what_it_is_encoded_as(tokenizer: object) -> None:
    words = whole_words(tokenizer)
    assert {"the", "is", "it"} <= set(words.values())
    assert not set(SPECIAL) & set(words.values())
    for id, word in words.items():
        assert tokenizer(f"x {word}", add_special_tokens=False)["input_ids"][-1] == id  # type: ignore[operator]


def test_a_vocabulary_without_words() -> None:
    assert whole_words(of_words(["##ing", "!"])) == {}
