"""Questions about texts whose answers are pieces of them, in the columns of SQuAD (Rajpurkar et al. 2016, 1606.05250)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading import columns
from limbeck.data.loading.files import RawTable, open_table

Answer = tuple[str, int]  # the text, and the place in the context where it begins
IDS_SHOWN = 3  # questions that a message names


@dataclass(frozen=True)
class Questions:
    """Questions, each with its context and its answers.

    Attributes:
        answers: for each question (text, start), `context[start : start + len(text)] == text`; empty where it has no label.
        moved: how many answers did not stand where they said, and were moved to where they stand.
        lost: how many answers stand nowhere in their context, and were left out.
    """

    ids: tuple[str, ...]
    questions: tuple[str, ...]
    contexts: tuple[str, ...]
    answers: tuple[tuple[Answer, ...], ...]
    moved: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        columns = zip(self.ids, self.contexts, self.answers, strict=True)
        wrong = [one for one, context, answers in columns if not all(_occurs_at(context, answer) for answer in answers)]
        if wrong:
            raise ValueError(
                f"answers: those of {len(wrong):,} questions do not stand in their contexts where they say ({_few(wrong)}); "
                "correct where they begin, or leave them out, as load_questions does"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answer_texts(self) -> list[list[str]]:
        """The texts of each question's answers."""
        return [[text for text, _ in answers] for answers in self.answers]

    def select(self, rows: Sequence[int]) -> Questions:
        """Only these questions, in this order."""
        ids, questions, contexts, answers = (
            tuple(column[row] for row in rows) for column in (self.ids, self.questions, self.contexts, self.answers)
        )
        return Questions(ids, questions, contexts, answers)  # type: ignore[arg-type]


def load_questions(path: str | Path, split: str | None = None) -> Questions:
    """Questions from the columns `question`, `context`, `answers` with the lists `text` and `answer_start`, and `id`.

    Without ids the rows are numbered. Without answers, or with an empty list of them, a question is unlabelled. An answer that
    does not stand where it says is moved to the nearest place where it does, or left out where there is none; a warning says
    how many, and names some.

    Args:
        path: a table, a folder of tables or the name of a data set on the hub, as in `load_items`.
        split: which part, where there are several.
    """
    table = open_table(path, split)
    names = table.columns.column_names
    for name in ("question", "context"):
        if name not in names:
            found = ", ".join(names)
            raise ValueError(f"{table.origin}: no column {name!r} among {found}; SQuAD has id, question, context and answers")
    if not table.columns.num_rows:
        raise ValueError(f"{table.origin}: the data set is empty")
    questions, contexts = columns.read_texts(table, "question"), columns.read_texts(table, "context")
    ids = [str(one) for one in table.columns["id"].to_pylist()] if "id" in names else list(map(str, range(len(questions))))
    placed = [_placed(context, given) for context, given in zip(contexts, _answers(table), strict=True)]
    answers = tuple(found for found, _, _ in placed)
    moved, lost = sum(moved for _, moved, _ in placed), sum(lost for _, _, lost in placed)
    if moved or lost:
        wrong = [one for one, (_, moved, lost) in zip(ids, placed, strict=True) if moved or lost]
        _warn(table.origin, wrong, moved, lost)
    return Questions(tuple(ids), tuple(questions), tuple(contexts), answers, moved, lost)


def _warn(origin: str, ids: list[str], moved: int, lost: int) -> None:
    warnings.warn(
        f"{origin}: {moved + lost:,} answers do not stand in the context where they say (questions {_few(ids)}): "
        f"{moved:,} were moved to their nearest occurrence, {lost:,} occur nowhere and were left out",
        stacklevel=3,
    )


def _few(ids: list[str]) -> str:
    return ", ".join(ids[:IDS_SHOWN]) + (", …" if len(ids) > IDS_SHOWN else "")


def _occurs_at(context: str, answer: Answer) -> bool:
    text, start = answer
    return start >= 0 and context.startswith(text, start)


def _answers(table: RawTable) -> list[list[Answer]]:
    """What the column says, unchecked."""
    if "answers" not in table.columns.column_names:
        return [[] for _ in range(table.columns.num_rows)]
    kind = table.columns.schema.field("answers").type
    fields = {field.name for field in kind} if pa.types.is_struct(kind) else set()
    if not {"text", "answer_start"} <= fields:
        expected = "a struct of the lists text and answer_start"
        raise ValueError(f"{table.origin}: column 'answers' holds {kind}; expected {expected}, as in SQuAD")
    return [_pairs(cell, table, row) for row, cell in enumerate(table.columns["answers"].to_pylist())]


def _pairs(cell: Any, table: RawTable, row: int) -> list[Answer]:
    texts, starts = ((cell or {}).get(name) or [] for name in ("text", "answer_start"))
    if len(texts) != len(starts):
        raise ValueError(f"{table.origin}: row {row} has {len(texts)} answer texts and {len(starts)} starts; expected one each")
    return list(zip(texts, starts, strict=True))


def _placed(context: str, answers: list[Answer]) -> tuple[tuple[Answer, ...], int, int]:
    """The answers where they really stand; how many of them were moved, and how many occur nowhere."""
    found, moved = [], 0
    for text, start in answers:
        place = _nearest(context, text, start)
        if place is not None:
            found.append((text, place))
            moved += place != start
    return tuple(found), moved, len(answers) - len(found)


def _nearest(context: str, text: str | None, start: int | None) -> int | None:
    """Where `text` stands in `context`, as near to `start` as can be; blank texts stand nowhere."""
    if text is None or not text.strip():
        return None
    wanted = min(max(start or 0, 0), len(context))
    before = context.rfind(text, 0, wanted + len(text))  # the last that begins at `wanted` or before it
    after = context.find(text, wanted)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - wanted), default=None)
