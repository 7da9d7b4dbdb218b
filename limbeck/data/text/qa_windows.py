"""Questions with their contexts as windows of tokens, and answers from what a model says about the windows.

A context that is too long for one reading is read in windows that overlap, so that an answer at the end of one stands whole
in the next (Devlin et al. 2018, 1810.04805).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.core.objective import UNLABELLED
from limbeck.data import keyed_random
from limbeck.data.content_keys import as_keys, text_key
from limbeck.data.items import Items
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.questions import Answer, Questions
from limbeck.data.text.token_storage import PackedTokens, TokenStorage
from limbeck.data.text.tokenize import TYPE_IDS
from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch, strip_spans
from limbeck.utils.progress_bar import show_progress

CHUNK = 256  # questions encoded at once
OUTSIDE = -1  # for special tokens; below it, those of the question
QUESTION_BASE = OUTSIDE - 1  # a question's characters are counted downwards from here


class WindowStorage(TokenStorage):
    """Windows as tokens.

    Attributes:
        question: the row of each window's question, int64 `[N]`.
        spans: for each token the characters of the context that it stands for, int32 `[T, 2]` a window: from where to before
            where; negative for tokens that are not of the context: -1 for special ones, -2 - n for character n of the question.
        questions: those that the windows were made of, all of them.
    """

    def __init__(
        self, encoding: PackedTokens, question: Tensor, spans: PackedRows, questions: Questions, multiple: int = 1
    ) -> None:
        super().__init__({"": encoding}, {"": encoding.tokenization.identity}, multiple=multiple)
        self.question, self.spans, self.questions = question, spans, questions

    def select(self, rows: Tensor) -> WindowStorage:
        encoding, spans = self.encodings[""].select(rows), self.spans.select(rows)
        return WindowStorage(encoding, self.question[rows], spans, self.questions, self.multiple)

    def first_difference_from(self, other: WindowStorage, names: tuple[str, str]) -> str | None:
        """Where a window's token first stands for other characters than in the same window of `other`, for a message."""
        pair = dict(zip(names, (self, other), strict=True))
        for row in self.spans.differing_rows(other.spans):
            token = first_mismatch(*(each._characters(row) for each in pair.values()))
            if token >= 0:
                where = f"window {row}, of question {self.questions.ids[int(self.question[row])]}"
                shown = {name: each.encodings[""].show_tokens(row, token) for name, each in pair.items()}
                return describe_token(token, where, shown)
        return None

    def _characters(self, row: int) -> list[tuple[int, int]]:
        """Which characters each token of a window stands for."""
        asked = int(self.question[row])
        question, context = self.questions.questions[asked], self.questions.contexts[asked]
        return strip_spans(
            (start, end, context)
            if start >= 0
            else (QUESTION_BASE - start, QUESTION_BASE - end, question if start <= QUESTION_BASE else "")
            for start, end in self.spans[row].tolist()
        )


def tokenize_questions(
    questions: Questions, tokenizer: Any, max_length: int = 384, stride: int = 128, *, multiple: int = 1
) -> Items:
    """Items of tokens: each question before every window of its context.

    Labels are int64 `[N, 2]`, the first and the last token of the question's first answer; (0, 0), the first token, where the
    window does not hold the whole answer; -100 where the question is unlabelled. Keys go by question, context and the number
    of the window.

    Args:
        tokenizer: a fast tokenizer of Transformers that pads at the right.
        max_length: the most tokens of a window, those of the question and special ones included.
        stride: how many tokens of the context a window shares with the next.
        multiple: batches are padded to a multiple of so many tokens.

    A question so long that a window would not hold `2 · stride` tokens of the context beside it is cut. Warnings say how many
    are, and how many are empty or have an empty context.
    """
    fixed = FixedTokenizer.of(tokenizer, max_length, pairs=True)
    if fixed.pad_left:
        raise ValueError("the tokenizer pads at the left, and labels count tokens from there; set padding_side to 'right'")
    asked = _shortened(questions, fixed, stride)
    _warn_empty(questions)
    read = _WindowBuilder(fixed, stride)
    starts = range(0, len(questions), CHUNK)
    for start in show_progress(starts, "tokenizing", len(starts)):
        read.add(questions, asked, range(start, min(start + CHUNK, len(questions))))
    return read.items(questions, multiple)


def split_by_question(items: Items, fraction: float, seed: int = 0) -> tuple[Items, Items]:
    """Two parts, `fraction` of the questions in the first; all windows of a question stay together."""
    storage = items.for_actor("student").storage
    assert isinstance(storage, WindowStorage)
    asked, place = torch.unique(storage.question, return_inverse=True)
    first = torch.zeros(len(asked), dtype=torch.int64).scatter_reduce_(0, place, items.keys, "amin", include_self=False)
    count = round(len(asked) * fraction)
    chosen = torch.zeros(len(asked), dtype=torch.bool)
    chosen[keyed_random.hashes(seed, first, "split").argsort()[:count]] = True
    return items.select(chosen[place]), items.select(~chosen[place])


def _warn_empty(questions: Questions) -> None:
    """Nothing can be answered where nothing is asked, or nothing stands that could be the answer."""
    columns = zip(questions.ids, questions.questions, questions.contexts, strict=True)
    empty = [name for name, question, context in columns if not question.strip() or not context.strip()]
    if empty:
        message = f"{len(empty):,} of {len(questions):,} questions are empty, or their contexts are (the first: {empty[0]})"
        warnings.warn(f"{message}; leave them out where they are not meant to be read", stacklevel=3)


def _shortened(questions: Questions, fixed: FixedTokenizer, stride: int) -> list[str]:
    """The questions, cut to what leaves room for the context."""
    space = fixed.max_length - fixed.tokenizer.num_special_tokens_to_add(pair=True)
    most = space - max(2 * stride, 1)
    if stride < 0 or most < 1:
        raise ValueError(
            f"stride={stride}: windows of max_length={fixed.max_length} tokens that share so many with the next are too short; "
            f"set stride to a number from 0 to {max((space - 1) // 2, 0)}"
        )
    tokens = fixed.tokenizer(list(questions.questions), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    asked = [
        question if len(ids) <= most else _cut(question, fixed.tokenizer, most)
        for question, ids in zip(questions.questions, tokens, strict=True)
    ]
    cut = [name for name, before, now in zip(questions.ids, questions.questions, asked, strict=True) if before != now]
    if cut:
        message = f"{len(cut):,} of {len(asked):,} questions are longer than {most} tokens and were cut (the first: {cut[0]})"
        warnings.warn(message, stacklevel=3)
    return asked


def _cut(question: str, tokenizer: Any, most: int) -> str:
    """The beginning of a question that takes at most so many tokens."""
    while True:  # what is left may come out as other tokens, and as more of them
        spans = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(spans) <= most:
            return question
        question = question[: min(spans[most][0], len(question) - 1)]


class _WindowBuilder:
    """Reads chunk after chunk of questions."""

    def __init__(self, fixed: FixedTokenizer, stride: int) -> None:
        self.fixed, self.stride = fixed, stride
        self.ids: list[PackedRows] = []
        self.types: list[PackedRows] = []
        self.spans: list[NDArray[np.int32]] = []
        self.question: list[int] = []
        self.keys: list[int] = []
        self.target: list[tuple[int, int]] = []

    def add(self, questions: Questions, asked: list[str], rows: range) -> None:
        encoded = self.fixed(
            asked[rows.start : rows.stop],
            questions.contexts[rows.start : rows.stop],
            truncation="only_second",
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        self.ids.append(PackedRows.from_rows(encoded["input_ids"]))
        if TYPE_IDS in encoded:
            self.types.append(PackedRows.from_rows(encoded[TYPE_IDS], np.int8))
        number, before = 0, -1
        for window, sample in zip(encoded.encodings, encoded["overflow_to_sample_mapping"], strict=True):
            number, before, row = (number + 1 if sample == before else 0), sample, rows[sample]
            spans = _spans(window)
            self.spans.append(spans)
            self.question.append(row)
            self.keys.append(text_key(questions.questions[row], questions.contexts[row], str(number)))
            answers = questions.answers[row]
            self.target.append(_tokens_of(answers[0], spans) if answers else (UNLABELLED, UNLABELLED))

    def items(self, questions: Questions, multiple: int) -> Items:
        ids = PackedRows.concatenate(self.ids)
        types = PackedRows.concatenate(self.types) if self.types else None
        spans = PackedRows(torch.from_numpy(np.concatenate(self.spans)), ids.offsets)
        storage = WindowStorage(PackedTokens(self.fixed, ids, types), torch.tensor(self.question), spans, questions, multiple)
        return Items(storage, as_keys(self.keys), torch.tensor(self.target))


def _spans(window: Any) -> NDArray[np.int32]:
    """See `WindowStorage.spans`."""
    of_question, of_context = (np.array([part == number for part in window.sequence_ids])[:, None] for number in (0, 1))
    characters = np.array(window.offsets)
    return np.where(of_context, characters, np.where(of_question, QUESTION_BASE - characters, OUTSIDE)).astype(np.int32)


def _tokens_of(answer: Answer, spans: NDArray[np.int32]) -> tuple[int, int]:
    """The first and the last token that stand for characters of the answer; (0, 0) where the window does not hold all of it."""
    text, start = answer
    end = start + len(text.rstrip())
    start += len(text) - len(text.lstrip())
    held = np.flatnonzero(spans[:, 0] >= 0)
    if not len(held) or spans[held[0], 0] > start or spans[held[-1], 1] < end:
        return 0, 0
    first = int(held[np.searchsorted(spans[held, 1], start, side="right")])
    last = int(held[np.searchsorted(spans[held, 0], end, side="left") - 1])
    return (first, last) if first <= last else (0, 0)


def extract_answers(
    logits: Iterable[tuple[Tensor, Tensor]], items: Items, questions: Questions, longest: int = 30
) -> list[str]:
    """The answers of `extract_scored_answers`."""
    return [answer for answer, _ in extract_scored_answers(logits, items, questions, longest)]


def extract_scored_answers(
    logits: Iterable[tuple[Tensor, Tensor]], items: Items, questions: Questions, longest: int = 30
) -> list[tuple[str, float]]:
    """The best answer to each question: over all its windows and all spans of up to `longest` tokens of the context, that with
    the largest sum of the logit of its first token and that of its last, as it is written in the context.

    Args:
        logits: pairs of (rows of `items` `[b]`, logits `[b, 2, T]` of the first and the last token), in any order; T may differ
            from pair to pair and is at least the number of tokens of these rows. What stands in the padding is not read.
        items: from `tokenize_questions`, or a part of them.
        questions: those that the items were made of.
        longest: the most tokens of an answer.

    Returns:
        One text a question, with its sum of logits: empty, with −∞, where its context is, or where none of its windows is
        among the items.
    """
    storage = items.storage
    if not isinstance(storage, WindowStorage):
        raise ValueError("items: expected windows of contexts, as limbeck.data.tokenize_questions makes them of questions")
    if longest < 1:
        raise ValueError(f"longest={longest}: expected 1 or more")
    best, found = torch.full((len(items),), torch.nan), torch.zeros(len(items), 2, dtype=torch.int64)
    for rows, said in logits:
        rows = rows.cpu()
        best[rows], found[rows] = _best_spans(said.detach().float().cpu(), storage.spans, rows, longest)
    missing = int(best.isnan().sum())
    if missing:
        raise ValueError(f"logits: none, or NaN, for {missing:,} of {len(items):,} windows; every window needs its own")
    answers, scores = [""] * len(questions), [-torch.inf] * len(questions)
    for row, score, (start, end) in zip(storage.question.tolist(), best.tolist(), found.tolist(), strict=True):
        if score > scores[row]:
            answers[row], scores[row] = questions.contexts[row][start:end].strip(), score
    return list(zip(answers, scores, strict=True))


def _best_spans(said: Tensor, spans: PackedRows, rows: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The largest sum in each window, and the characters it stands for, `[b, 2]`."""
    needed = int(spans.lengths[rows].max()) if len(rows) else 0
    if said.ndim != 3 or said.shape[:2] != (len(rows), 2) or said.shape[2] < needed:
        raise ValueError(f"logits: expected [{len(rows)}, 2, {needed} or more] for these windows, found {list(said.shape)}")
    characters = spans.pad(rows, said.shape[2], OUTSIDE)
    start, end = said.masked_fill((characters[..., 0] < 0)[:, None], -torch.inf).unbind(1)
    ends = torch.nn.functional.pad(end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    best, at = (start[:, :, None] + ends).flatten(1).max(1)
    first, item = at // longest, torch.arange(len(rows))
    last = (first + at % longest).clamp(max=said.shape[2] - 1)  # beyond only where a window has no context
    return best, torch.stack([characters[item, first, 0], characters[item, last, 1]], 1).long()
