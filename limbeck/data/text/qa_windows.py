"""Tokenizes questions with their contexts.

A context that is longer than the model's input becomes several windows that overlap, so that an answer at the end of one stands
whole in the next (Devlin et al. 2018, BERT, arXiv:1810.04805).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.core.labels import UNLABELLED
from limbeck.data import keyed_random
from limbeck.data.content_keys import as_keys, text_key
from limbeck.data.items import Items
from limbeck.data.sampling import require_two_parts
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.questions import Answer, Questions
from limbeck.data.text.token_storage import PackedTokens, TokenStorage
from limbeck.data.text.tokenization import TYPE_IDS
from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch, strip_spans
from limbeck.utils.progress_bar import show_progress

CHUNK = 256  # questions encoded in one call
OUTSIDE = -1  # span of special tokens
QUESTION_BASE = OUTSIDE - 1  # spans of the question: its character n is QUESTION_BASE - n


class WindowStorage(TokenStorage):
    """Windows of contexts as tokens.

    Attributes:
        question_rows: row of each window's question, int64 `[N]`.
        spans: start and end of each token in the context, in characters, int32 `[T, 2]` for each window. Negative for tokens
            outside of the context: -1 for special tokens, -2 - n for character n of the question.
        questions: all questions that the windows were made from.
    """

    def __init__(
        self, encoding: PackedTokens, question_rows: Tensor, spans: PackedRows, questions: Questions, multiple: int = 1
    ) -> None:
        super().__init__({"": encoding}, {"": encoding.tokenizer.identity}, multiple=multiple)
        self.question_rows, self.spans, self.questions = question_rows, spans, questions

    def select(self, rows: Tensor) -> WindowStorage:
        encoding, spans = self.encodings[""].select(rows), self.spans.select(rows)
        return WindowStorage(encoding, self.question_rows[rows], spans, self.questions, self.multiple)

    def first_difference_from(self, other: WindowStorage, names: tuple[str, str]) -> str | None:
        """Describes the first token that stands for other characters than in the same window of `other`; None if none does.

        Args:
            names: what the message calls this storage and the other.
        """
        pair = dict(zip(names, (self, other), strict=True))
        for row in self.spans.differing_rows(other.spans):
            token = first_mismatch(*(each._characters(row) for each in pair.values()))
            if token >= 0:
                where = f"window {row}, of question {self.questions.ids[int(self.question_rows[row])]}"
                shown = {name: each.encodings[""].show_tokens(row, token) for name, each in pair.items()}
                return describe_token(token, where, shown)
        return None

    def _characters(self, row: int) -> list[tuple[int, int]]:
        """The characters that each token of a window stands for."""
        number = int(self.question_rows[row])
        question, context = self.questions.questions[number], self.questions.contexts[number]
        return strip_spans(
            (start, end, context)
            if start >= 0
            else (QUESTION_BASE - start, QUESTION_BASE - end, question if start <= QUESTION_BASE else "")
            for start, end in self.spans[row].tolist()
        )


def tokenize_questions(
    questions: Questions, tokenizer: Any, max_length: int = 384, stride: int = 128, *, multiple: int = 1
) -> Items:
    """Items of tokens: each question followed by every window of its context.

    Labels are int64 `[N, 2]`, the first and the last token of the question's first answer; (0, 0), the first token, if the
    window does not hold the whole answer; -100 if the question is unlabelled. Keys are hashes of question, context and the
    number of the window.

    A question that leaves no room for `2 · stride` tokens of the context is cut. Warnings give the number of cut questions, and
    of empty questions and contexts.

    Args:
        questions: questions with contexts.
        tokenizer: a fast tokenizer of Transformers that pads at the right.
        max_length: most tokens of a window, with those of the question and special tokens.
        stride: tokens of the context that a window shares with the next.
        multiple: batches are padded to a multiple of this number of tokens.

    Raises:
        ValueError: a tokenizer that cannot be used, or pads at the left; windows too short for this stride.
    """
    fixed = FixedTokenizer.of(tokenizer, max_length, pairs=True)
    if fixed.pad_left:
        raise ValueError("the tokenizer pads at the left, and labels count tokens from there; set padding_side to 'right'")
    shortened = _shorten_questions(questions, fixed, stride)
    _warn_about_empty_questions(questions)
    builder = _WindowBuilder(fixed, stride)
    starts = range(0, len(questions), CHUNK)
    for start in show_progress(starts, "tokenizing", len(starts)):
        builder.add(questions, shortened, range(start, min(start + CHUNK, len(questions))))
    return builder.items(questions, multiple)


def split_by_question(items: Items, fraction: float, seed: int = 0) -> tuple[Items, Items]:
    """Two parts, `fraction` of the questions in the first; all windows of a question stay together.

    Questions are assigned by content, so the split does not depend on the order of the data.

    Raises:
        ValueError: a part without questions.
    """
    storage = items.for_actor("student").storage
    assert isinstance(storage, WindowStorage)
    numbers, index = torch.unique(storage.question_rows, return_inverse=True)
    keys = torch.zeros(len(numbers), dtype=torch.int64).scatter_reduce_(0, index, items.keys, "amin", include_self=False)
    count = round(len(numbers) * fraction)
    chosen = torch.zeros(len(numbers), dtype=torch.bool)
    chosen[keyed_random.hashes(seed, keys, "split").argsort()[:count]] = True
    require_two_parts(chosen, fraction, "questions", torch.arange(len(chosen)))
    return items.select(chosen[index]), items.select(~chosen[index])


def _warn_about_empty_questions(questions: Questions) -> None:
    columns = zip(questions.ids, questions.questions, questions.contexts, strict=True)
    empty = [id for id, *texts in columns if not all(text.strip() for text in texts)]
    if empty:
        message = f"{len(empty):,} of {len(questions):,} questions are empty, or their contexts are (the first: {empty[0]})"
        warnings.warn(f"{message}; leave them out if they are not intended", stacklevel=3)


def _shorten_questions(questions: Questions, fixed: FixedTokenizer, stride: int) -> list[str]:
    """The questions, cut to what leaves room for the context."""
    space = fixed.max_length - fixed.base.num_special_tokens_to_add(pair=True)
    most = space - max(2 * stride, 1)
    if stride < 0 or most < 1:
        raise ValueError(
            f"stride={stride}: windows of max_length={fixed.max_length} tokens are too short to hold a question and share as "
            f"many with the next; set stride to a number from 0 to {max(space // 4, 0)}, or max_length to four times stride"
        )
    tokens = fixed.base(list(questions.questions), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    shortened = [
        question if len(ids) <= most else _shorten(question, fixed.base, most)
        for question, ids in zip(questions.questions, tokens, strict=True)
    ]
    cut = [id for id, before, after in zip(questions.ids, questions.questions, shortened, strict=True) if before != after]
    if cut:
        message = f"{len(cut):,} of {len(shortened):,} questions are longer than {most} tokens and were cut"
        warnings.warn(f"{message} (the first: {cut[0]})", stacklevel=3)
    return shortened


def _shorten(question: str, tokenizer: Any, most: int) -> str:
    """The beginning of a question that takes at most `most` tokens."""
    while True:  # the text that is left may be tokenized differently, into more tokens
        spans = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(spans) <= most:
            return question
        question = question[: min(spans[most][0], len(question) - 1)]


class _WindowBuilder:
    """Encodes questions in chunks and collects their windows."""

    def __init__(self, tokenizer: FixedTokenizer, stride: int) -> None:
        self.tokenizer, self.stride = tokenizer, stride
        self.ids: list[PackedRows] = []
        self.type_ids: list[PackedRows] = []
        self.spans: list[NDArray[np.int32]] = []
        self.question_rows: list[int] = []
        self.keys: list[int] = []
        self.target: list[tuple[int, int]] = []

    def add(self, questions: Questions, shortened: list[str], rows: range) -> None:
        encoded = self.tokenizer(
            shortened[rows.start : rows.stop],
            questions.contexts[rows.start : rows.stop],
            truncation="only_second",
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        self.ids.append(PackedRows.from_rows(encoded["input_ids"]))
        if TYPE_IDS in encoded:
            self.type_ids.append(PackedRows.from_rows(encoded[TYPE_IDS], np.int8))
        number, previous = 0, -1
        for window, sample in zip(encoded.encodings, encoded["overflow_to_sample_mapping"], strict=True):
            number, previous, row = (number + 1 if sample == previous else 0), sample, rows[sample]
            spans = _window_spans(window)
            self.spans.append(spans)
            self.question_rows.append(row)
            self.keys.append(text_key(questions.questions[row], questions.contexts[row], str(number)))
            answers = questions.answers[row]
            self.target.append(_answer_tokens(answers[0], spans) if answers else (UNLABELLED, UNLABELLED))

    def items(self, questions: Questions, multiple: int) -> Items:
        ids = PackedRows.concatenate(self.ids)
        type_ids = PackedRows.concatenate(self.type_ids) if self.type_ids else None
        spans = PackedRows(torch.from_numpy(np.concatenate(self.spans)), ids.offsets)
        encoding, question_rows = PackedTokens(self.tokenizer, ids, type_ids), torch.tensor(self.question_rows)
        storage = WindowStorage(encoding, question_rows, spans, questions, multiple)
        return Items(storage, as_keys(self.keys), torch.tensor(self.target))


def _window_spans(window: Any) -> NDArray[np.int32]:
    """See `WindowStorage.spans`."""
    of_question, of_context = (np.array([part == number for part in window.sequence_ids])[:, None] for number in (0, 1))
    characters = np.array(window.offsets)
    return np.where(of_context, characters, np.where(of_question, QUESTION_BASE - characters, OUTSIDE)).astype(np.int32)


def _answer_tokens(answer: Answer, spans: NDArray[np.int32]) -> tuple[int, int]:
    """The first and the last token of the answer; (0, 0) if the window does not hold all of it."""
    text, start = answer
    end = start + len(text.rstrip())
    start += len(text) - len(text.lstrip())
    held = np.flatnonzero(spans[:, 0] >= 0)
    if not len(held) or spans[held[0], 0] > start or spans[held[-1], 1] < end:
        return 0, 0
    first = int(held[np.searchsorted(spans[held, 1], start, side="right")])
    last = int(held[np.searchsorted(spans[held, 0], end, side="left") - 1])
    return (first, last) if first <= last else (0, 0)
