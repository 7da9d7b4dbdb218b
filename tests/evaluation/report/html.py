"""Pages taken apart: what a test asks of HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags, attributes, ids and headings of a page; elements that do not close in order are refused."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.ids: list[str] = []
        self.referred: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= set(attrs)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("aria-labelledby", "aria-describedby"):
                self.referred += value.split()
            elif name in ("href", "xlink:href") and value.startswith("#"):
                self.referred.append(value[1:])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(self.open[-1][1]), data))
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check(text: str) -> Page:
    """A page that is whole, loads nothing, runs nothing, and can be found one's way in."""
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "b", "form", "base"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    assert len(page.ids) == len(set(page.ids)), "two elements of one id"
    assert set(page.referred) <= set(page.ids), set(page.referred) - set(page.ids)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), page.headings
    return page
