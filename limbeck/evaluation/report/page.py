"""The parts of every page: frame, sections, tables, and figures with tables of their values.

A page loads and runs nothing: its content security policy forbids scripts and external resources, and pictures are embedded.
Arguments called `html` and the cells of tables are HTML; all others are text and are escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from limbeck.evaluation.report.canvas import FURTHER, without_surrogates
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
    """A section of the page with a heading, listed in the table of contents."""

    def __init__(self, name: str, heading: str, *html: str) -> None:
        self.name, self.heading, self.parts = name, heading, [part for part in html if part]

    def __str__(self) -> str:
        body = "\n".join([f'<h2 id="{self.name}-h">{escape(self.heading)}</h2>', *self.parts])
        return f'<section id="{self.name}" aria-labelledby="{self.name}-h">\n{body}\n</section>'


def write_page(path: Path, title: str, header: str, sections: Iterable[Section | None], made_from: str) -> Path:
    """Writes one page without empty sections."""
    present = [section for section in sections if section is not None and section.parts]
    text = _PAGE.format(
        title=escape(title),
        style=STYLE,
        header=header,
        contents=_contents(present),
        body="\n".join(map(str, present)),
        footer=f"Made by Limbeck from {escape(made_from)}. Brackets are 95 % intervals.",
    )
    write_text_atomic(path, without_surrogates(text))
    return path


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{section.name}">{escape(section.heading)}</a></li>' for section in sections)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def head(eyebrow: str, sentence: str, facts: Sequence[str], *, verbatim: bool = False) -> str:
    """The top of the page: name, summary sentence and a line of facts.

    `verbatim`: the sentence begins with a name, which stays as it is written.
    """
    shown = sentence if verbatim else sentence[:1].upper() + sentence[1:]
    return (
        f'<p class="eyebrow">{escape(eyebrow)}</p>\n<h1>{escape(shown)}.</h1>\n<p class="soft">{escape(" · ".join(facts))}</p>'
    )


def key_numbers(numbers: Sequence[tuple[str, str, str]]) -> str:
    """A few large figures: (label, value, note in small print)."""
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
    """A table that scrolls inside its frame, also by keyboard. Titles and cells are HTML: callers escape text from files.

    Args:
        tall: it may be long and also scrolls vertically.
        text: index of the column with sentences, which may wrap.
    """
    styles = [' class="text"' if at == text else "" for at in range(len(titles))]
    header = "".join(f'<th scope="col"{style}>{title}</th>' for title, style in zip(titles, styles, strict=True))
    body = "\n".join(f'<tr><th scope="row">{row[0]}</th>{_cells(row, text)}</tr>' for row in rows)
    frame = "scroll tall" if tall else "scroll"
    label = escape(caption)
    return (
        f'<div class="{frame}" role="region" aria-label="{label}" tabindex="0"><table><caption>{label}</caption>'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(row: Sequence[str], text: int | None) -> str:
    return "".join(f'<td class="text">{cell}</td>' if at == text else f"<td>{cell}</td>" for at, cell in enumerate(row) if at)


def figure(name: str, title: str, svg: str, caption: str, html: str, *, wide: bool = False, level: int = 3) -> str:
    """A figure with title, caption and the table of its values.

    Args:
        name: an id, unique on the page.
        caption: describes what the figure shows; also its text alternative.
        html: the table.
        wide: over the whole width, with the caption beside it.
        level: of the heading.
    """
    labelled = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-t" aria-describedby="{name}-s"', 1)
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure id="{name}"{kind} aria-labelledby="{name}-t"><h{level} id="{name}-t">{escape(title)}</h{level}>\n{labelled}\n'
        f'<figcaption id="{name}-s">{escape(caption)}</figcaption>\n{details("Values", html)}</figure>'
    )


def grid(parts: Iterable[str], *, two: bool = False) -> str:
    """Figures in as many columns as fit, or in two."""
    shown = "\n".join(filter(None, parts))
    return f'<div class="grid{" two" if two else ""}">{shown}</div>' if shown else ""


def details(summary: str, html: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def sign(arm: str) -> str:
    """The mark of an arm, as in figures: square, ring or disc; a diamond for a further control."""
    return f'<span class="sign {arm if arm in TITLES else FURTHER}" aria-hidden="true"></span>'


def arm_title(arm: str) -> str:
    return f"{sign(arm)}{TITLES.get(arm) or escape(arm)}"


def stacked(text: str) -> str:
    """A value with its interval below in small print; HTML."""
    value, bracket, rest = escape(text).partition(" [")
    return f"{value}<small>[{rest}</small>" if bracket else value


def mark(good: bool, text: str) -> str:
    """Good or bad as a sign, a word and a colour; HTML."""
    return f'<span class="mark {"good" if good else "bad"}">{"✓" if good else "✗"} {escape(text)}</span>'
