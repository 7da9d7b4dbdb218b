"""Values of `limbeck init`: from a flag, a prompt on a terminal, or a default."""

from __future__ import annotations

from dataclasses import dataclass

import typer


class InitError(ValueError):
    """A value that `limbeck init` needs is missing or wrong."""


@dataclass(frozen=True)
class Questions:
    """Returns values given by flags; prompts for the others, or uses their defaults without a terminal."""

    interactive: bool

    def ask(self, flag: str, text: str, given: str | None, default: str | None = None) -> str:
        """Returns the given value, else the text entered at a prompt, else the default.

        Raises:
            InitError: no value, no default and no terminal.
        """
        if given is not None:
            return given
        if self.interactive:
            return str(typer.prompt(text, default=default)).strip()
        if default is None:
            raise InitError(f"{flag} is missing: {text[0].lower()}{text[1:]}? There is no terminal for a prompt; give the flag")
        return default

    def confirm(self, text: str, given: bool | None, default: bool) -> bool:
        if given is not None:
            return given
        return typer.confirm(text, default=default) if self.interactive else default
