"""Markdown from Python: tables, code, and docstrings as this library writes them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

SECTION = re.compile(r"(Args|Attributes|Raises|Returns)( of .*)?:")
ITEM = re.compile(r"([\w.*, ]+): (.*)")
TITLES = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Errors", "Returns": "Returns"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars within cells are made harmless."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def code(text: str, language: str = "text", attributes: str = "") -> str:
    """A fenced block; `attributes` such as `.run` mark what the tests run."""
    opening = f"```{{ .{language} {attributes} }}" if attributes else f"```{language}"
    return f"{opening}\n{text.strip()}\n```\n"


def prose(text: str) -> str:
    """Plain text as Markdown that shows it unchanged; what stands between backticks is code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _linked(_escape(part)) for part in parts)


def docstring(thing: Any, *, skip_first: bool = False) -> str:
    """The docstring of a class or function as Markdown."""
    return docstring_text(inspect.getdoc(thing) or "", skip_first=skip_first)


def docstring_text(text: str, *, skip_first: bool = False) -> str:
    """Paragraphs, indented examples and the sections Args, Attributes, Raises and Returns."""
    blocks = re.split(r"\n\s*\n", text)[int(skip_first) :]
    return "\n\n".join(_block(block).strip() for block in blocks if block.strip())


def summary(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def items_of(thing: Any, section: str) -> dict[str, str]:
    """What one section of a docstring says about each name: `{"temperature": "T; softens both distributions."}`."""
    for block in re.split(r"\n\s*\n", inspect.getdoc(thing) or ""):
        head, _, body = block.partition("\n")
        if head.strip() == f"{section}:":
            return {name: said for names, said in _items(body) for name in re.split(r", ", names)}
    return {}


def _block(block: str) -> str:
    head, _, body = block.partition("\n")
    if (found := SECTION.fullmatch(head.strip())) and body:
        title = TITLES[found[1]] + (prose(found[2]) if found[2] else "")
        entries = "\n".join(f"- {_names(names)}: {prose(said)}" for names, said in _items(body))
        return f"**{title}**\n\n{entries or prose(' '.join(body.split()))}\n"
    lead, example = _example(block)
    text = prose(" ".join(lead.split()))
    text = re.sub(r"^Source: ", "**Source:** ", text)
    return (f"{text}\n\n" if text else "") + (code(example, "python") if example else "")


def _example(block: str) -> tuple[str, str]:
    """A paragraph and the indented example within or below it."""
    lines = block.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("    ", ">>> ")):
            return "\n".join(lines[:number]), textwrap.dedent("\n".join(lines[number:]))
    return block, ""


def _items(body: str) -> list[tuple[str, str]]:
    """`name: text` with the lines that go on, which are indented deeper."""
    found: list[list[str]] = []
    for line in textwrap.dedent(body).splitlines():
        match = None if line.startswith(" ") else ITEM.fullmatch(line.strip())
        if match:
            found.append([match[1], match[2]])
        elif found:
            found[-1][1] += " " + line.strip()
    return [(names, said) for names, said in found]


def _names(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\")
    return re.sub(r"\*(?!\w[^*]*\w\*)(?<!\w\*)", r"\\*", text)  # all but the stars around *emphasis*


def _linked(text: str) -> str:
    return re.sub(r"(?:arXiv[ :])?\b(\d{4}\.\d{4,5})\b(?!\.?\d)", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
