"""Commands that the pages and the README show: their options, subcommands, built-in recipes and modules exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator, Sequence

import click
import pytest
from typer.main import get_command

from limbeck.cli.command_line import app
from limbeck.recipe import find_recipe
from tests.docs.pages import ROOT, blocks, pages

TEXTS = {**pages(), **{name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}}
SHELLS = ("bash", "console", "sh", "shell")
TAKE_RECIPES = ("distill", "federate", "compare")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of each block of a shell, with the page that it stands on, without variables and comments."""
    for address, text in TEXTS.items():
        for block in (block for shell in SHELLS for block in blocks(text, shell)):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|\|\||[;|]", line.removeprefix("$ ")):
                    words = [re.sub(r"(?<=[0-9-])N$", "1", word) for word in shlex.split(part, comments=True)]  # one of several
                    while words and (re.match(r"[A-Z_]+=", words[0]) or words[0] in ("nohup", "time")):
                        words.pop(0)
                    if words:
                        yield address, words


SHOWN = list(commands())


def parse(command: click.Command, words: Sequence[str]) -> list[str]:
    """Parses a command down to its subcommand; returns the names of both."""
    context = command.make_context(command.name, list(words))
    if not isinstance(command, click.Group):
        return []
    name, found, rest = command.resolve_command(context, [*context.protected_args, *context.args])
    assert name is not None
    assert found is not None
    return [name, *parse(found, rest)]


@pytest.mark.parametrize(("address", "words"), [(address, words) for address, words in SHOWN if words[0] == "limbeck"])
def test_commands_are_read_as_they_are_printed(address: str, words: list[str]) -> None:
    try:
        found = parse(get_command(app), words[1:])
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
        return  # --help
    except click.ClickException as error:
        pytest.fail(f"{address}: {shlex.join(words)}: {error.format_message()}")
    if len(words) > 2 and found[0] in TAKE_RECIPES and re.fullmatch(r"[a-z][\w-]*", words[2]) and words[2] not in found:
        find_recipe(words[2])  # a built-in one


def test_modules_that_are_run_exist() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"-m ((?:limbeck|benchmarks)[\w.]*\w)", text)}
    assert named
    assert [name for name in named if importlib.util.find_spec(name) is None] == []
