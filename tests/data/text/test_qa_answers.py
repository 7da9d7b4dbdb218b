"""Answers from outputs for windows, against a loop over spans."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.data import (
    Items,
    extract_answers,
    tokenize_questions,
)
from tests.data.text.contexts import TOKENIZERS, ask, join, storage, sure
from tests.data.tiny_tokenizers import of_words


def test_answers_are_text_of_the_context() -> None:
    asked = join(
        ask("Zoë's  CAFÉ – the 2nd one.", "CAFÉ – the"),
        ask("We keep data. We share data with partners.", "data", start=23),
        ask("nobody knows"),
        ask(""),
    )
    items = tokenize_questions(asked, TOKENIZERS["wordpiece"])
    assert len(items) == 4
    assert items.target is not None
    assert items.target[2:].tolist() == [[-100, -100]] * 2
    assert items.classes is None
    assert extract_answers(sure(items), items, asked)[:2] == ["CAFÉ – the", "data"]
    assert extract_answers(sure(items), items, asked)[3] == ""
    assert len(items.labelled()) == 2


def test_ties_go_to_the_first_span() -> None:
    words = [f"w{number}" for number in range(28)]
    asked = ask(" ".join(words), question="who")
    items = tokenize_questions(asked, of_words([*words, "who"]), max_length=16, stride=4)
    said = torch.zeros(3, 2, 16)
    said[1:, :, 3] = 1  # w8, and w16 in the next window
    assert extract_answers([(torch.arange(3), said)], items, asked) == ["w8"]


def reference(said: Tensor, spans: list[list[int]], context: str, longest: int) -> tuple[float, str]:
    best = (-torch.inf, "")
    for first in range(len(spans)):
        for last in range(first, min(first + longest, len(spans))):
            score = float(said[0, first] + said[1, last])
            if spans[first][0] >= 0 and spans[last][0] >= 0 and score > best[0]:
                best = (score, context[spans[first][0] : spans[last][1]].strip())
    return best


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(0, 7))
def test_the_best_span_agrees_with_a_loop(seed: int, longest: int, more: int) -> None:
    words = " ".join(f"w{number}" for number in range(30))
    asked = join(ask(words), ask("w3 w4 w5"), ask(""))
    items = tokenize_questions(asked, of_words([f"w{number}" for number in range(30)]), max_length=24, stride=5)
    generator = torch.Generator().manual_seed(seed)
    said, expected = [], [(-torch.inf, "")] * 3
    for row in torch.randperm(len(items), generator=generator).tolist():
        logits = torch.randn(1, 2, int(storage(items).lengths[row]) + more, generator=generator)
        said.append((torch.tensor([row]), logits))
        question = int(storage(items).question_rows[row])
        spans = storage(items).spans[row].tolist()
        expected[question] = max(expected[question], reference(logits[0], spans, asked.contexts[question], longest))
    assert extract_answers(said, items, asked, longest) == [text for _, text in expected]
    joined = torch.full((len(items), 2, 31), torch.nan)  # all rows as one tensor; logits in the padding are not read
    for (row,), logits in said:
        joined[row, :, : logits.shape[2]] = logits[0]
    assert extract_answers([(torch.arange(len(items)), joined)], items, asked, longest) == [text for _, text in expected]


def test_missing_and_wrong_logits_are_refused() -> None:
    asked = join(ask("the cat", "cat"), ask("the dog", "dog"))
    items = tokenize_questions(asked, TOKENIZERS["wordpiece"])
    part = items.select(torch.tensor([1]))
    assert extract_answers(sure(part), part, asked) == ["", "dog"]
    said = sure(items)
    with pytest.raises(ValueError, match="logits: none, or NaN, for 1 of 2 windows"):
        extract_answers(said[:1], items, asked)
    with pytest.raises(ValueError, match="logits: none, or NaN, for 2 of 2 windows"):
        extract_answers([(rows, logits * torch.nan) for rows, logits in said], items, asked)
    with pytest.raises(ValueError, match=r"expected \[1, 2, \d+ or more\] for these windows, found \[1, 2, 3\]"):
        extract_answers([(said[0][0], said[0][1][..., :3])], items, asked)
    with pytest.raises(ValueError, match="longest=0: expected 1 or more"):
        extract_answers(said, items, asked, longest=0)
    with pytest.raises(ValueError, match="expected windows of contexts"):
        extract_answers(said, Items.from_tensors(torch.rand(2, 2)), asked)
