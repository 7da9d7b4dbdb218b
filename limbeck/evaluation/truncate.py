"""Truncates long texts at word boundaries."""

from __future__ import annotations

LENGTH = 320  # characters
REACH = 20  # characters by which a cut may move to a word boundary

Span = tuple[int, int]


def truncate(text: str) -> str:
    """The beginning of a text; of a pair on two lines, the beginnings of both."""
    first, line, second = text.partition("\n")
    if not line or len(text) <= LENGTH:
        return truncate_around(text)[0]
    room = LENGTH // 2
    return f"{truncate_around(first, length=room)[0]}\n{truncate_around(second, length=room)[0]}"


def truncate_around(text: str, span: Span = (0, 0), length: int = LENGTH) -> tuple[str, Span]:
    """At most `length` characters of a text around a span, and the span in the result.

    An ellipsis marks omitted text; a span that does not fit is cut at its end.
    """
    if len(text) <= length:
        return text, span
    start, end = span
    room = length - 2  # without two ellipses
    low = min(max(start - max(room - (end - start), 0) // 2, 0), len(text) - room)
    low = _word_start(text, low, start) if low > 0 else 0
    high = min(low + room, len(text))
    high = _word_end(text, high, min(end, high)) if high < len(text) else high
    moved = (low > 0) - low
    shown = "…" * (low > 0) + text[low:high] + "…" * (high < len(text))
    return shown, (start + moved, min(end, high) + moved)


def _word_start(text: str, low: int, start: int) -> int:
    """The start of a word within `REACH` after `low`, at most `start`; `low` if there is none."""
    space = text.find(" ", low - 1, min(low + REACH, start))
    return low if space < 0 else space + 1


def _word_end(text: str, high: int, end: int) -> int:
    """The end of a word within `REACH` before `high`, at least `end`; `high` if there is none."""
    space = text.rfind(" ", max(high - REACH, end), high + 1)
    return high if space < 0 else space
