"""Long texts cut to what fits beside an answer."""

from __future__ import annotations

LENGTH = 320  # letters: a few lines
REACH = 20  # letters that a cut may move to fall between two words

Span = tuple[int, int]


def truncate(text: str) -> str:
    """What a text begins with; of a pair, which stands on two lines, what both begin with."""
    first, line, second = text.partition("\n")
    if not line or len(text) <= LENGTH:
        return truncate_around(text)[0]
    room = LENGTH // 2
    return f"{truncate_around(first, length=room)[0]}\n{truncate_around(second, length=room)[0]}"


def truncate_around(text: str, where: Span = (0, 0), length: int = LENGTH) -> tuple[str, Span]:
    """At most `length` letters of a text around the piece from where to before where, and where that piece then stands. What is
    left out is marked by an ellipsis; a piece that does not fit is cut at its end.
    """
    if len(text) <= length:
        return text, where
    start, end = where
    room = length - 2  # beside two ellipses
    low = min(max(start - max(room - (end - start), 0) // 2, 0), len(text) - room)
    low = _word_from(text, low, start) if low > 0 else 0
    high = min(low + room, len(text))
    high = _word_before(text, high, min(end, high)) if high < len(text) else high
    moved = (low > 0) - low
    shown = "…" * (low > 0) + text[low:high] + "…" * (high < len(text))
    return shown, (start + moved, min(end, high) + moved)


def _word_from(text: str, low: int, start: int) -> int:
    """Where a word begins a little after `low`, not beyond `start`; `low` where none does."""
    space = text.find(" ", low - 1, min(low + REACH, start))
    return low if space < 0 else space + 1


def _word_before(text: str, high: int, end: int) -> int:
    """Where a word ends a little before `high`, not before `end`; `high` where none does."""
    space = text.rfind(" ", max(high - REACH, end), high + 1)
    return high if space < 0 else space
