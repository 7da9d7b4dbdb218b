"""Text from outside on a terminal: names, labels, paths and messages can neither inject control characters nor markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

# All of C0 but the tab and the line feed, C1, and the marks that turn the direction of writing around.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Returns the text without control characters. Line feeds and tabs stay."""
    return CONTROL.sub("", text)


def shown(value: object) -> str:
    """Returns the text of a value from outside for use within markup: no control characters, and its brackets as they are."""
    return escape(plain(str(value)))


class TerminalConsole(Console):
    """A console that leaves out control characters of texts; colours and cursor movements are its own.

    All of what is printed passes through `render`: tables, messages, progress bars.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and CONTROL.search(segment.text):
                yield Segment(plain(segment.text), segment.style)
            else:
                yield segment


def is_hidden(console: Console | None) -> bool:
    """Whether bars that vanish at their end are left out: without a console, on a quiet one, and in notebooks, where each would
    leave an empty output."""
    return console is None or console.quiet or console.is_jupyter


def error_output(**options: Any) -> TerminalConsole:
    """Returns a console on standard error."""
    return TerminalConsole(stderr=True, **options)
