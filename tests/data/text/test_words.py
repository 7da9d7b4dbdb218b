"""Words of a text and of a vocabulary: their spans, replacement and case."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.data.text.words import WordSpans, distinct_words, is_word, match_case, whole_word_tokens
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
        ("cafe\u0301 cafe", ["cafe"]),  # with an accent written behind it, the e is not a letter by itself
        ("tab\tline\nend\u00a0there", ["tab", "line", "end", "there"]),
        ("well--known trailing- -leading a'", ["trailing", "leading", "a"]),
        ("", []),
        ("  ", []),
    ],
)
def test_what_is_a_word(text: str, words: list[str]) -> None:
    assert list(WordSpans.of(text).words) == words


@given(st.text(alphabet=string.ascii_letters + " \t\n.,'’-é1_\u0301", max_size=40))
def test_replacing_words_changes_nothing_else(text: str) -> None:
    parsed = WordSpans.of(text)
    assert len(parsed) == len(parsed.words)
    assert [text[start:end] for start, end in parsed.spans] == list(parsed.words)
    assert all(map(is_word, parsed.words))
    assert parsed.replace([None] * len(parsed)) == text
    marked = parsed.replace(f"<{word}>" for word in parsed.words)
    assert marked.replace("<", "").replace(">", "") == text
    assert [part.split(">")[0] for part in marked.split("<")[1:]] == list(parsed.words)


def test_replacement_keeps_what_stands_between_words() -> None:
    words = WordSpans.of("  A fine,\tfine day - isn't it?\n")
    assert words.replace(["One", None, "poor", None, "wasn't", None]) == "  One fine,\tpoor day - wasn't it?\n"
    with pytest.raises(ValueError, match="shorter"):
        words.replace(["One"])


def test_long_texts_are_read_in_linear_time() -> None:
    """A regular expression that backtracks would take years here."""
    assert WordSpans.of("-".join("a" * 20_000) + "1").words == ()
    assert WordSpans.of("'" * 20_000 + "a" * 20_000 + "1").words == ()


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
def test_match_case(word: str, other: str, cased: str) -> None:
    assert match_case(word, other) == cased


def test_distinct_words() -> None:
    others = ["good", "Zeal", "GOOD", "zeal", "able", "fine", "Fine", "late"]
    assert distinct_words("Good", others, 3) == ("Able", "Fine", "Zeal")
    assert distinct_words("Good", others, 10) == ("Able", "Fine", "Late", "Zeal")
    assert distinct_words("good", ["Good"], 2) == ()


def test_whole_word_tokens() -> None:
    tokenizer = of_words(["film", "##ing", "ing", "!", "2", "2nd", "don", "é", "a"])
    known = {tokenizer.convert_tokens_to_ids(word): word for word in ("film", "ing", "don", "a")}
    assert whole_word_tokens(tokenizer) == known  # é is never produced: the tokenizer removes its accent


@pytest.mark.parametrize("tokenizer", [wordpiece(), byte_bpe(size=400)], ids=["wordpiece", "byte_bpe"])
def test_whole_words_are_encoded_as_their_token(tokenizer: object) -> None:
    words = whole_word_tokens(tokenizer)
    assert {"the", "is", "it"} <= set(words.values())
    assert not set(SPECIAL) & set(words.values())
    for id, word in words.items():
        assert tokenizer(f"x {word}", add_special_tokens=False)["input_ids"][-1] == id  # type: ignore[operator]


def test_a_vocabulary_without_words() -> None:
    assert whole_word_tokens(of_words(["##ing", "!"])) == {}
