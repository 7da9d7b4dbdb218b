"""Long texts cut around what matters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.evaluation.truncate import LENGTH, truncate, truncate_around

few = settings(deadline=None, max_examples=300)


@given(text=st.text("ab \n", max_size=200), data=st.data(), length=st.integers(8, 80))
@few
def test_the_piece_stays_where_it_is_said_to_be(text: str, data: st.DataObject, length: int) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found, (low, high) = truncate_around(text, (start, end), length)
    assert len(found) <= length
    piece = text[start:end]
    assert found[low:high] == piece[: high - low]
    if len(piece) <= length - 2:
        assert found[low:high] == piece
    assert found.strip("…") in text
    assert (found == text) == (len(text) <= length)


def test_cuts_fall_between_words() -> None:
    text = " ".join(f"word{place:03}" for place in range(200))
    start = text.index("word100")
    found, (low, high) = truncate_around(text, (start, start + 7))
    assert found[low:high] == "word100"
    assert found.startswith("…word")
    assert found.endswith("…")
    assert all(len(word.strip("…")) == 7 for word in found.split())
    assert LENGTH - 50 < len(found) <= LENGTH


def test_what_has_no_words_is_cut_all_the_same() -> None:
    found, where = truncate_around("x" * 5000, (2500, 2502))
    assert len(found) == LENGTH
    assert found[slice(*where)] == "xx"


def test_the_beginning_of_short_and_long_texts() -> None:
    assert truncate("a\nb") == "a\nb"
    assert truncate("word " * 500).startswith("word word")
    assert len(truncate("word " * 500)) <= LENGTH
