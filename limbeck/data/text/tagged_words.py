"""Sentences as words with a tag for each, read from lists in tables or from CoNLL files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from limbeck.data.loading.arrow_types import is_list, is_text
from limbeck.data.loading.columns import named_column
from limbeck.data.loading.conll import read_conll
from limbeck.data.loading.files import open_file, require_path_or_table
from limbeck.data.loading.multi_hot import names_of_list
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.loading.rows import open_rows, rows_of
from limbeck.utils.registry import nearest_names

OUTSIDE = "O"  # the tag of a word that belongs to no entity
WORD_COLUMNS = ("tokens", "words")
TAG_COLUMNS = ("ner_tags", "tags", "ner", "labels", "label", "pos_tags")


@dataclass(frozen=True)
class TaggedWords:
    """Sentences as words, and the tag of each word.

    Attributes:
        words: of each sentence.
        tags: of each sentence, indices of `names`, one for each word; None if the sentence is unlabelled.
        names: of the tags.

    Raises:
        ValueError: a sentence with another number of tags than words, or a tag out of range, with its row.
    """

    words: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[int, ...] | None, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row, (words, tags) in enumerate(zip(self.words, self.tags, strict=True)):
            if tags is None:
                continue
            if len(tags) != len(words):
                raise ValueError(f"row {row} has {len(words)} words and {len(tags)} tags; expected one for each word")
            wrong = next((tag for tag in tags if not 0 <= tag < len(self.names)), None)
            if wrong is not None:
                raise ValueError(f"row {row} holds the tag {wrong}, and there are {len(self.names)} names of tags")

    def __len__(self) -> int:
        return len(self.words)


def load_tagged_words(
    path: str | Path,
    split: str | None = None,
    *,
    words: str | None = None,
    tags: str | Literal[False] | None = None,
    limit: int | None = None,
) -> TaggedWords:
    """Load sentences of words with tags.

    Words are a column of lists, or of texts that are split at white space; tags are lists of names or of numbers, or names
    separated by white space. The names of numbers are those of the ClassLabel feature or of a `classes.json` beside the file.
    Names of texts are those of `classes.json`, or else all that occur: `O` first, the others sorted.

    Args:
        path: a CoNLL file (.conll, .bio, .iob, .iob2, .txt); a table, a folder of either, or the name of a data set on the
            Hugging Face hub, as in `load_items`.
        split: which split, if there are several.
        words: the column of words; default: the one called tokens or words.
        tags: the column of tags; default: the one called ner_tags, tags, … False: the sentences are unlabelled.
        limit: only the first sentences, this many. The names of tags are those of all.

    Raises:
        ValueError: columns that are missing or of another kind; numbers without names; unknown names.
    """
    table = _open(path, split, limit)
    names = table.columns.column_names
    word_column = _choose(table, "input", words, WORD_COLUMNS)
    if word_column is None:
        raise ValueError(
            f"{table.origin}: which column holds the words? Set `input` to one of: {', '.join(names)}; words are lists of texts"
        )
    sentences = tuple(_words(cell, table, word_column, row) for row, cell in enumerate(_cells(table, word_column)))
    tag_column = None if tags is False else _choose(table, "label", tags, TAG_COLUMNS)
    try:
        if tag_column is None:
            return TaggedWords(sentences, (None,) * len(sentences))
        found, tag_names = _tags(table, tag_column)
        return TaggedWords(sentences, found[: len(sentences)], tag_names)
    except ValueError as error:
        raise ValueError(f"{table.origin}: {error}") from error


def may_be_tagged_words(table: RawTable) -> bool:
    """Whether a table has a column of words and one of tags, by their names and types."""
    words, tags = (_choose(table, "", None, usual) for usual in (WORD_COLUMNS, TAG_COLUMNS))
    if words is None or tags is None:
        return False
    schema = table.columns.schema
    word_kind, tag_kind = schema.field(words).type, schema.field(tags).type
    return is_list(tag_kind) and (is_text(word_kind) or (is_list(word_kind) and is_text(word_kind.value_type)))


def _open(path: str | Path, split: str | None, limit: int | None) -> RawTable:
    """A table; also from a text file in CoNLL's form, which is no table for other tasks."""
    require_path_or_table(path)
    if not isinstance(path, str | Path):
        return open_rows(path, split, limit=limit)
    place = Path(path).expanduser()
    if split is not None and (place / f"{split}.txt").is_file():
        place, split = place / f"{split}.txt", None
    if place.suffix.lower() == ".txt" and place.is_file() and split is None:
        return rows_of(open_file(place, read_conll), limit=limit)
    return open_rows(path, split, limit=limit)


def _choose(table: RawTable, option: str, wanted: str | None, usual: Sequence[str]) -> str | None:
    names = table.columns.column_names
    if wanted is not None:
        return named_column(table, option, wanted)
    return next((name for name in usual if name in names), None)


def _cells(table: RawTable, column: str) -> list[Any]:
    kind = table.columns.schema.field(column).type
    if not is_text(kind) and not is_list(kind):
        raise ValueError(f"{table.origin}: column {column!r} holds {kind}; expected lists, or texts that are split at spaces")
    cells: list[Any] = table.columns[column].to_pylist()
    return [cell.split() if isinstance(cell, str) else cell for cell in cells]


def _words(cell: list[Any] | None, table: RawTable, column: str, row: int) -> tuple[str, ...]:
    if cell is None or not all(isinstance(word, str) for word in cell):
        raise ValueError(f"{table.origin}: column {column!r}: row {row} holds {str(cell)[:60]}; expected a list of words")
    return tuple(cell)


def _tags(table: RawTable, column: str) -> tuple[tuple[tuple[int, ...] | None, ...], tuple[str, ...]]:
    """The tags of each row as numbers, of rows beyond a limit too, and the names of these."""
    if table.read_all is not None:
        table = replace(table, columns=table.read_all([column]))
    cells = _cells(table, column)
    values = {value for cell in cells if cell is not None for value in cell}
    known = names_of_list(table.features.get(column)) or table.class_names
    if values and not all(isinstance(value, str) for value in values):
        if not all(isinstance(value, int) and value >= 0 for value in values):
            raise ValueError(f"column {column!r} holds neither names of tags nor numbers of 0 or more alone")
        if known is None:
            raise ValueError(
                f"column {column!r}: the tags are numbers up to {max(values)}, and their names are unknown; write them in the "
                'order of the numbers into classes.json beside the data, such as ["O", "B-PER", "I-PER"]'
            )
        return tuple(None if cell is None else tuple(cell) for cell in cells), tuple(known)
    names = known or sorted(values, key=lambda name: (name != OUTSIDE, name))
    index = {name: at for at, name in enumerate(names)}
    unknown = sorted(values - index.keys())
    if unknown:
        offer = ", ".join(nearest_names(unknown[0], names))
        raise ValueError(f"column {column!r} holds the tag {unknown[0]!r}, which classes.json does not name; nearest: {offer}")
    return tuple(None if cell is None else tuple(index[tag] for tag in cell) for cell in cells), tuple(names)
