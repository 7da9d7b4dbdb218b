"""Foreign text on a terminal: neither control characters nor markup."""

from __future__ import annotations

import io

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from limbeck.utils.terminal import TerminalConsole, plain, shown

HOSTILE = [
    "[/dim]oops",
    "[bold]x",
    "exp[/bold]x",
    "\x1b[2J\x1b]0;title\x07",
    "a\rb",
    "\x9b31m",
    "x\\",
    "‮evil",
    "[link=http://x]y",
]


def written(text: str, kind: str) -> str:
    """What reaches the terminal."""
    file = io.StringIO()
    console = TerminalConsole(file=file, force_terminal=True, width=80, color_system="standard")
    if kind == "table":
        table = Table("name")
        table.add_row(Text(text))
        console.print(table)
    elif kind == "markup":
        console.print(f"[dim]{shown(text)}[/dim]", highlight=False)
    elif kind == "error":
        console.print(text, markup=False, highlight=False)
    else:
        with Progress(console=console) as bar:
            bar.add_task(shown(text), total=1)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["table", "markup", "error", "bar"])
@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_shown_as_it_is_but_for_control_characters(text: str, kind: str) -> None:
    out = written(text, kind)
    assert plain(text) in out
    for sequence in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "‮", "a\r"):
        assert sequence not in out


def test_colours_of_the_console_stay() -> None:
    assert "\x1b[2m" in written("plain", "markup")
    assert plain("two\nlines\tand a tab é 漢 😀") == "two\nlines\tand a tab é 漢 😀"
