"""Data sets of questions with contexts and answers, as windows of the contexts."""

from __future__ import annotations

from collections.abc import Iterator

from limbeck.data import Items, load_questions, per_actor_items, split_by_question, tokenize_questions
from limbeck.tasks.data_format import DataFormat, TextSource


class QuestionFormat(DataFormat):
    """Questions and contexts in the form of SQuAD; `limit` counts questions, and no split separates windows of one."""

    labels_remedy = "they are the column `answers`, with lists text and answer_start in each cell, as in SQuAD"
    augmentation_problem = "a context with other words has its answer elsewhere"

    def load(self, source: TextSource) -> Items:
        questions = load_questions(source.path, source.split, limit=source.limit)
        size = source.max_length, source.stride
        if not isinstance(source.tokenizers, dict):
            return tokenize_questions(questions, source.tokenizers, *size)
        return per_actor_items({name: tokenize_questions(questions, each, *size) for name, each in source.tokenizers.items()})

    def texts(self, path: str, split: str | None) -> Iterator[str]:
        questions = load_questions(path, split)
        yield from dict.fromkeys([*questions.questions, *questions.contexts])

    def split(self, items: Items, share: float) -> tuple[Items, Items]:
        return split_by_question(items, share)
