"""Questions whose answers are spans of a context, in the columns of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.cells import read_texts
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.loading.rows import open_rows
from limbeck.data.text.squad_file import read_squad

Answer = tuple[str, int]
"""The text of an answer, and the character of the context at which it starts."""

IDS_SHOWN = 3  # questions named in a message


@dataclass(frozen=True)
class Questions:
    """Questions, each with its context and its answers.

    Attributes:
        answers: for each question (text, start) with `context[start : start + len(text)] == text`; empty if unlabelled.
        moved: number of answers that did not stand at their start and were moved to where they do.
        lost: number of answers that occur nowhere in their context and were left out.

    Raises:
        ValueError: answers that do not stand in their contexts at their starts.
    """

    ids: tuple[str, ...]
    questions: tuple[str, ...]
    contexts: tuple[str, ...]
    answers: tuple[tuple[Answer, ...], ...]
    moved: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        rows = zip(self.ids, self.contexts, self.answers, strict=True)
        wrong = [id for id, context, answers in rows if not all(_occurs_at(context, answer) for answer in answers)]
        if wrong:
            raise ValueError(
                f"answers: those of {len(wrong):,} questions do not stand in their contexts at their starts "
                f"({_shown_ids(wrong)}); correct the starts, or leave the answers out, as load_questions does"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answer_texts(self) -> list[list[str]]:
        """The texts of the answers to each question."""
        return [[text for text, _ in answers] for answers in self.answers]

    def select(self, rows: Sequence[int]) -> Questions:
        """Only these questions, in this order."""
        ids, questions, contexts, answers = (
            tuple(column[row] for row in rows) for column in (self.ids, self.questions, self.contexts, self.answers)
        )
        return Questions(ids, questions, contexts, answers)  # type: ignore[arg-type]


def load_questions(path: str | Path, split: str | None = None, *, limit: int | None = None) -> Questions:
    """Load questions from the columns `question`, `context`, `answers` (lists `text` and `answer_start`) and `id`.

    Without ids the rows are numbered. Without answers, or with an empty list of them, a question is unlabelled. An answer that
    does not stand at its start is moved to its nearest occurrence, or left out if there is none; a warning names some of these.

    Args:
        path: a table, a JSON file in SQuAD's own layout (`data`, `paragraphs`, `qas`), a folder of tables or the name of a data
            set on the Hugging Face hub, as in `load_items`.
        split: which split, if there are several.
        limit: read only the first questions, this many.

    Raises:
        ValueError: missing columns, or cells of another type.
    """
    table = read_squad(path) if split is None else None
    table = open_rows(path, split, limit=limit) if table is None else replace(table, columns=table.columns.slice(0, limit))
    names = table.columns.column_names
    for name in ("question", "context"):
        if name not in names:
            found = ", ".join(names)
            raise ValueError(f"{table.origin}: no column {name!r} among {found}; SQuAD has id, question, context and answers")
    questions, contexts = (read_texts(table, name, blank=True) for name in ("question", "context"))
    ids = [str(id) for id in table.columns["id"].to_pylist()] if "id" in names else list(map(str, range(len(questions))))
    located = [_locate(context, answers) for context, answers in zip(contexts, _read_answers(table), strict=True)]
    answers = tuple(found for found, _, _ in located)
    moved, lost = sum(moved for _, moved, _ in located), sum(lost for _, _, lost in located)
    if moved or lost:
        wrong = [id for id, (_, moved, lost) in zip(ids, located, strict=True) if moved or lost]
        warnings.warn(
            f"{table.origin}: {moved + lost:,} answers do not stand in the context at their start "
            f"(questions {_shown_ids(wrong)}): {moved:,} were moved to their nearest occurrence, {lost:,} occur nowhere and "
            "were left out",
            stacklevel=2,
        )
    return Questions(tuple(ids), tuple(questions), tuple(contexts), answers, moved, lost)


def _shown_ids(ids: list[str]) -> str:
    return ", ".join(ids[:IDS_SHOWN]) + (", …" if len(ids) > IDS_SHOWN else "")


def _occurs_at(context: str, answer: Answer) -> bool:
    text, start = answer
    return start >= 0 and context.startswith(text, start)


def _read_answers(table: RawTable) -> list[list[Answer]]:
    """The answers of each row, unchecked."""
    if "answers" not in table.columns.column_names:
        return [[] for _ in range(table.columns.num_rows)]
    kind = table.columns.schema.field("answers").type
    fields = {field.name for field in kind} if pa.types.is_struct(kind) else set()
    if not {"text", "answer_start"} <= fields:
        expected = "a struct of the lists text and answer_start"
        raise ValueError(f"{table.origin}: column 'answers' holds {kind}; expected {expected}, as in SQuAD")
    return [_read_cell(cell, table, row) for row, cell in enumerate(table.columns["answers"].to_pylist())]


def _read_cell(cell: Any, table: RawTable, row: int) -> list[Answer]:
    texts, starts = ((cell or {}).get(name) or [] for name in ("text", "answer_start"))
    if len(texts) != len(starts):
        raise ValueError(f"{table.origin}: row {row} has {len(texts)} answer texts and {len(starts)} starts; expected one each")
    return list(zip(texts, starts, strict=True))


def _locate(context: str, answers: list[Answer]) -> tuple[tuple[Answer, ...], int, int]:
    """Answers with the starts at which they stand, how many of them were moved, and how many occur nowhere."""
    found, moved = [], 0
    for text, start in answers:
        position = _nearest_occurrence(context, text, start)
        if position is not None:
            found.append((text, position))
            moved += position != start
    return tuple(found), moved, len(answers) - len(found)


def _nearest_occurrence(context: str, text: str | None, start: int | None) -> int | None:
    """Start of the occurrence of `text` that is nearest to `start`; None if there is none, or if the text is blank."""
    if text is None or not text.strip():
        return None
    wanted = min(max(start or 0, 0), len(context))
    before = context.rfind(text, 0, wanted + len(text))  # the last that starts at `wanted` or before
    after = context.find(text, wanted)
    positions = [position for position in (before, after) if position >= 0]
    return min(positions, key=lambda position: abs(position - wanted), default=None)
