"""What every page is made of: the frame, sections, tables, figures with the numbers behind them.

The page loads nothing and runs nothing: its policy forbids scripts and addresses, and pictures lie in it as data. Arguments
called `html` (and the cells of tables) are HTML already; all others are text and are escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from limbeck.evaluation.report.canvas import plain
from limbeck.evaluation.report.style import STYLE
from limbeck.utils.atomic_files import write_text_atomic

TITLES = {"teacher": "teacher", "control": "control", "student": "student"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header>
{header}
</header>
{contents}
<main id="content">
{body}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


class Section:
    """A part of the page with a heading of its own, which the list of contents names."""

    def __init__(self, name: str, heading: str, *html: str) -> None:
        self.name, self.heading, self.parts = name, heading, [part for part in html if part]

    def __str__(self) -> str:
        body = "\n".join([f'<h2 id="{self.name}-h">{escape(self.heading)}</h2>', *self.parts])
        return f'<section id="{self.name}" aria-labelledby="{self.name}-h">\n{body}\n</section>'


def write_page(path: Path, title: str, header: str, sections: Iterable[Section | None], made_from: str) -> Path:
    """Write one page; sections that have nothing to show are left out."""
    present = [section for section in sections if section is not None and section.parts]
    text = _PAGE.format(
        title=escape(title),
        style=STYLE,
        header=header,
        contents=_contents(present),
        body="\n".join(map(str, present)),
        footer=f"Made by Limbeck from {escape(made_from)}. Brackets are 95 % intervals.",
    )
    write_text_atomic(path, plain(text))
    return path


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{section.name}">{escape(section.heading)}</a></li>' for section in sections)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def head(eyebrow: str, sentence: str, facts: Sequence[str]) -> str:
    """The top of the page: what it is about, the one sentence to remember, and a line of facts."""
    return (
        f'<p class="eyebrow">{escape(eyebrow)}</p>\n<h1>{escape(sentence[:1].upper() + sentence[1:])}.</h1>\n'
        f'<p class="soft">{escape(" · ".join(facts))}</p>'
    )


def key_numbers(numbers: Sequence[tuple[str, str, str]]) -> str:
    """A few large numbers: each with what it is, and what stands below it in small print."""
    cells = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd>{f'<dd>{escape(note)}</dd>' if note else ''}</div>"
        for what, value, note in numbers
    )
    return f'<dl class="key">{cells}</dl>' if numbers else ""


def paragraph(text: str, *, soft: bool = False) -> str:
    return f'<p class="soft">{escape(text)}</p>' if soft else f"<p>{escape(text)}</p>"


def table(
    caption: str, titles: Sequence[str], rows: Iterable[Sequence[str]], *, tall: bool = False, text: int | None = None
) -> str:
    """A table that scrolls inside its frame, by keyboard too. Titles and cells are HTML: callers escape what comes from files.

    Args:
        tall: it may be long, and scrolls downwards as well.
        text: the column that holds sentences, which may be broken into lines.
    """
    styles = [' class="text"' if at == text else "" for at in range(len(titles))]
    header = "".join(f'<th scope="col"{style}>{title}</th>' for title, style in zip(titles, styles, strict=True))
    body = "\n".join(f'<tr><th scope="row">{row[0]}</th>{_cells(row, text)}</tr>' for row in rows)
    frame = "scroll tall" if tall else "scroll"
    said = escape(caption)
    return (
        f'<div class="{frame}" role="region" aria-label="{said}" tabindex="0"><table><caption>{said}</caption>'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(row: Sequence[str], text: int | None) -> str:
    return "".join(f'<td class="text">{cell}</td>' if at == text else f"<td>{cell}</td>" for at, cell in enumerate(row) if at)


def figure(name: str, title: str, svg: str, says: str, html: str, *, wide: bool = False, level: int = 3) -> str:
    """A drawing with its title, what is to be seen in it, and the table behind it.

    Args:
        name: unique on the page; letters of an id.
        says: what is seen, in words: the caption, and for those who do not see it the alternative.
        html: the table.
        level: of its heading.
    """
    labelled = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-t" aria-describedby="{name}-s"', 1)
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure id="{name}"{kind} aria-labelledby="{name}-t"><h{level} id="{name}-t">{escape(title)}</h{level}>\n{labelled}\n'
        f'<figcaption id="{name}-s">{escape(says)}</figcaption>\n{details("The numbers", html)}</figure>'
    )


def grid(parts: Iterable[str], *, two: bool = False) -> str:
    """Figures in as many columns as there is room for, or in two."""
    shown = "\n".join(filter(None, parts))
    return f'<div class="grid{" two" if two else ""}">{shown}</div>' if shown else ""


def details(summary: str, html: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def sign(arm: str) -> str:
    """The arm's mark, as the drawings have it: a square, a ring, a disc."""
    return f'<span class="sign {arm}" aria-hidden="true"></span>'


def arm_title(arm: str) -> str:
    return f"{sign(arm)}{TITLES[arm]}"


def stacked(text: str) -> str:
    """A value, and its interval in small print below; HTML."""
    value, bracket, rest = escape(text).partition(" [")
    return f"{value}<small>[{rest}</small>" if bracket else value


def mark(good: bool, text: str) -> str:
    """A judgement in a sign, a word and a colour; HTML."""
    return f'<span class="mark {"good" if good else "bad"}">{"✓" if good else "✗"} {escape(text)}</span>'
