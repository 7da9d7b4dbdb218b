"""What is asked: on a terminal by a question, elsewhere by a flag or a default."""

from __future__ import annotations

from dataclasses import dataclass

import typer


class InitError(ValueError):
    """Something that `limbeck init` needs to know and cannot find out."""


@dataclass(frozen=True)
class Questions:
    """Answers that were given by flags stand; the others are asked for, or take their defaults where nobody can be asked."""

    interactive: bool

    def ask(self, flag: str, text: str, given: str | None, default: str | None = None) -> str:
        """One answer.

        Raises:
            InitError: it was not given, there is no default, and nobody can be asked.
        """
        if given is not None:
            return given
        if self.interactive:
            return str(typer.prompt(text, default=default)).strip()
        if default is None:
            raise InitError(f"{flag} is missing: {text[0].lower()}{text[1:]}? There is no terminal to ask on; give the flag")
        return default

    def confirm(self, text: str, given: bool | None, default: bool) -> bool:
        if given is not None:
            return given
        return typer.confirm(text, default=default) if self.interactive else default
