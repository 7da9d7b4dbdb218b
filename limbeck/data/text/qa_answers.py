"""Extracts answers from the outputs of a model for windows of contexts."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.qa_windows import OUTSIDE, WindowStorage
from limbeck.data.text.questions import Questions


def extract_answers(
    logits: Iterable[tuple[Tensor, Tensor]], items: Items, questions: Questions, longest: int = 30
) -> list[str]:
    """The answers of `extract_scored_answers`, without scores."""
    return [answer for answer, _ in extract_scored_answers(logits, items, questions, longest)]


def extract_scored_answers(
    logits: Iterable[tuple[Tensor, Tensor]], items: Items, questions: Questions, longest: int = 30
) -> list[tuple[str, float]]:
    """The best answer to each question.

    Of all spans of up to `longest` tokens of the context, in all windows of the question, this is the span with the largest
    sum of the logit of its first token and that of its last. It is returned as it stands in the context.

    Args:
        logits: pairs of (rows of `items` `[b]`, logits `[b, 2, T]` of the first and the last token), in any order. T may differ
            between pairs and is at least the number of tokens of these rows; logits in the padding are not read.
        items: from `tokenize_questions`, or a part of them.
        questions: those that the items were made from.
        longest: most tokens of an answer.

    Returns:
        The text and the sum of logits of each question's answer; ("", −∞) if its context is empty or none of its windows is
        among the items.

    Raises:
        ValueError: items that are not windows; `longest` below 1; logits of another shape, missing or NaN.
    """
    storage = items.storage
    if not isinstance(storage, WindowStorage):
        raise ValueError("items: expected windows of contexts, as limbeck.data.tokenize_questions makes them of questions")
    if longest < 1:
        raise ValueError(f"longest={longest}: expected 1 or more")
    best, found = torch.full((len(items),), torch.nan), torch.zeros(len(items), 2, dtype=torch.int64)
    for rows, outputs in logits:
        rows = rows.cpu()
        best[rows], found[rows] = _best_spans(outputs.detach().float().cpu(), storage.spans, rows, longest)
    missing = int(best.isnan().sum())
    if missing:
        raise ValueError(f"logits: none, or NaN, for {missing:,} of {len(items):,} windows; every window needs its own")
    answers, scores = [""] * len(questions), [-torch.inf] * len(questions)
    for row, score, (start, end) in zip(storage.question_rows.tolist(), best.tolist(), found.tolist(), strict=True):
        if score > scores[row]:
            answers[row], scores[row] = questions.contexts[row][start:end].strip(), score
    return list(zip(answers, scores, strict=True))


def _best_spans(logits: Tensor, spans: PackedRows, rows: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The largest sum in each window `[b]`, and the characters of its span `[b, 2]`."""
    needed = int(spans.lengths[rows].max()) if len(rows) else 0
    if logits.ndim != 3 or logits.shape[:2] != (len(rows), 2) or logits.shape[2] < needed:
        raise ValueError(f"logits: expected [{len(rows)}, 2, {needed} or more] for these windows, found {list(logits.shape)}")
    characters = spans.pad(rows, logits.shape[2], OUTSIDE)
    start, end = logits.masked_fill((characters[..., 0] < 0)[:, None], -torch.inf).unbind(1)
    ends = torch.nn.functional.pad(end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    best, at = (start[:, :, None] + ends).flatten(1).max(1)
    first, item = at // longest, torch.arange(len(rows))
    last = (first + at % longest).clamp(max=logits.shape[2] - 1)  # beyond only in a window without any context
    return best, torch.stack([characters[item, first, 0], characters[item, last, 1]], 1).long()
