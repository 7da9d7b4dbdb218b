"""CoNLL files: one word a line with its tag in the last column, a blank line after each sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

WORDS, TAGS = "tokens", "tags"
DOCUMENT = "-DOCSTART-"  # begins a document in CoNLL 2003; no word


def read_conll(path: Path) -> pa.Table:
    """The sentences of a CoNLL file as a table of the columns `tokens` and `tags`, lists of texts.

    Columns are separated by tabs, or else by spaces; the first is the word, the last its tag. Comments (`# …` before a
    sentence, with another number of columns than words have) and lines of `-DOCSTART-` are left out.

    Raises:
        ValueError: a line of one column, or of another number than the first; both with the line's number.
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    width: int | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        columns = line.rstrip().split("\t") if "\t" in line.strip() else line.split()
        if not columns or columns[0] in ("", DOCUMENT):
            sentences.append([])
            continue
        if not sentences[-1] and columns[0].startswith("#") and len(columns) != (width or 2):
            continue
        width = width or len(columns)
        if len(columns) != width or width < 2:
            raise ValueError(
                f"line {number} has {len(columns)} columns ({line.strip()[:40]!r}); expected {max(width, 2)}: a word, its tag "
                "in the last column, and a blank line after each sentence"
            )
        sentences[-1].append((columns[0], columns[-1]))
    filled = [sentence for sentence in sentences if sentence]
    words, tags = ([[word[at] for word in sentence] for sentence in filled] for at in (0, 1))
    lists = pa.list_(pa.string())
    return pa.table({WORDS: pa.array(words, lists), TAGS: pa.array(tags, lists)})
