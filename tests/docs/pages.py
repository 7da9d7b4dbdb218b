"""The documentation as the tests read it: hand-written and generated pages, and the code blocks in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from docs.generate import site

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```(?:\{ *(?P<attributes>[^}]*)\}|(?P<language>\w*)[^\n]*)\n(?P<text>.*?)^\1```$", re.M | re.S)


@functools.cache
def pages() -> dict[str, str]:
    """Address to Markdown, of all pages."""
    written = {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return written | site.pages()


def blocks(text: str, language: str, marked: str = "") -> Iterator[str]:
    """The code blocks of a language; `marked`: only those that bear this mark, such as `.run`."""
    for found in FENCE.finditer(text):
        attributes = (found["attributes"] or "").split()
        if language in (found["language"], *(one.removeprefix(".") for one in attributes)) and (
            not marked or marked in attributes
        ):
            yield found["text"]
