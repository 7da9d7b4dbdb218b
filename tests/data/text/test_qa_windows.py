"""Windows of contexts: overlap, labels, splits and limits."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import (
    Questions,
    evaluation_batches,
    extract_answers,
    split_by_question,
    tokenize_questions,
)
from limbeck.data.content_keys import text_key
from tests.data.text.contexts import ALPHABET, TOKENIZERS, ask, join, storage, sure
from tests.data.tiny_tokenizers import of_words, wordpiece


@settings(deadline=None, max_examples=80)
@given(st.data(), st.text(ALPHABET, min_size=1, max_size=60), st.sampled_from(sorted(TOKENIZERS)), st.integers(0, 5))
def test_labels_cover_the_answer(data: st.DataObject, context: str, name: str, stride: int) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : start + data.draw(st.integers(1, 8))]
    if not answer.strip():
        return
    asked = ask(context, answer, "a?", start)
    items = tokenize_questions(asked, TOKENIZERS[name], max_length=24, stride=stride)
    assert items.target is not None
    wanted = (start + len(answer) - len(answer.lstrip()), start + len(answer.rstrip()))
    for window, (first, last) in enumerate(items.target.tolist()):
        spans = storage(items).spans[window]
        held = spans[spans[:, 0] >= 0].tolist()
        if (first, last) == (0, 0):
            assert not (held and held[0][0] <= wanted[0] and held[-1][1] >= wanted[1])
            continue
        # the tokens cover the answer, and without either end they would not
        assert int(spans[first, 0]) <= wanted[0] < int(spans[first, 1])
        assert int(spans[last, 0]) < wanted[1] <= int(spans[last, 1])
        assert 0 <= first <= last
    if (items.target[:, 1] > 0).any():
        (found,) = extract_answers(sure(items), items, asked, longest=100)
        assert answer.strip() in found


def test_windows_overlap_and_hold_the_whole_context_once() -> None:
    words = [f"w{number}" for number in range(40)]
    tokenizer = of_words([*words, "who"])
    asked = join(ask(" ".join(words), "w9 w10", "who"), ask("w1 w2", "w2", "who"))
    items = tokenize_questions(asked, tokenizer, max_length=16, stride=4)
    kept = storage(items)
    assert kept.question_rows.tolist() == [0, 0, 0, 0, 0, 1]  # of 12 tokens each, 8 of them new
    seen = [
        [int(token) - 5 for token in items.fetch(torch.tensor([row]))["input_ids"][0] if 5 <= token < 45] for row in range(6)
    ]
    assert seen[:5] == [list(range(start, min(start + 12, 40))) for start in (0, 8, 16, 24, 32)]
    assert items.target is not None
    assert items.target.tolist() == [[12, 13], [4, 5], [0, 0], [0, 0], [0, 0], [4, 4]]
    assert items.keys.tolist() == [text_key("who", asked.contexts[0], str(n)) for n in range(5)] + [
        text_key("who", "w1 w2", "0")
    ]
    types = items.fetch(torch.tensor([5]))["token_type_ids"]
    assert types.tolist() == [[0, 0, 0, 1, 1, 1]]
    chosen = items.select(torch.tensor([5, 1]))
    assert storage(chosen).question_rows.tolist() == [1, 0]
    assert torch.equal(storage(chosen).spans[1], kept.spans[1])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("w0 w1", [[3, 4], [0, 0], [0, 0]]),
        ("w7 w8", [[10, 11], [0, 0], [0, 0]]),  # the second window begins with w8
        ("w11 w12", [[0, 0], [6, 7], [0, 0]]),  # the first one ends with w11
        ("w19", [[0, 0], [14, 14], [6, 6]]),
        ("w11 w12 w13 w14 w15 w16 w17 w18 w19 w20", [[0, 0]] * 3),
    ],
)
def test_windows_without_the_whole_answer_are_labelled_zero(answer: str, expected: list[list[int]]) -> None:
    words = [f"w{number}" for number in range(28)]
    items = tokenize_questions(ask(" ".join(words), answer, "who"), of_words([*words, "who"]), max_length=16, stride=4)
    assert items.target is not None
    assert items.target.tolist() == expected


def test_batches_of_windows() -> None:
    items = tokenize_questions(join(*[ask("the cat is it . " * n, "cat") for n in range(1, 6)]), TOKENIZERS["wordpiece"], 32, 8)
    target = items.target
    assert target is not None
    for batch in evaluation_batches(items, 2):
        assert batch.target is not None
        assert batch.index is not None
        assert torch.equal(batch.target, target[batch.index])
        assert batch.inputs["default"]["input_ids"].shape[1] == int(storage(items).lengths[batch.index].max())


def test_long_questions_are_cut() -> None:
    asked = join(ask("the cat", "cat", "is it " * 90 + "😀" * 40), ask("the dog", "dog"))
    for name, tokenizer in TOKENIZERS.items():
        with pytest.warns(UserWarning, match=r"1 of 2 questions are longer than \d+ tokens and were cut \(the first: q\)"):
            items = tokenize_questions(asked, tokenizer, max_length=48, stride=12)
        assert extract_answers(sure(items), items, asked) == ["cat", "dog"], name
        assert int(storage(items).lengths.max()) <= 48
    with pytest.warns(UserWarning, match="1 of 1 questions are longer"):
        tokenize_questions(ask("the cat", "cat", "😀" * 90), TOKENIZERS["byte-level"], max_length=48, stride=12)


def test_empty_questions_and_contexts_are_counted() -> None:
    asked = join(ask("the cat", "cat"), ask("the cat", question=" "), ask(""))
    asked = Questions(("a", "b", "c"), asked.questions, asked.contexts, asked.answers)
    said = r"^2 of 3 questions are empty, or their contexts are \(the first: b\); leave them out if"
    with pytest.warns(UserWarning, match=said):
        tokenize_questions(asked, TOKENIZERS["wordpiece"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenize_questions(asked.select([0]), TOKENIZERS["wordpiece"])


@pytest.mark.parametrize(
    ("options", "tokenizer", "message"),
    [
        ({"max_length": 20, "stride": 9}, wordpiece(), r"stride=9: windows of max_length=20 .*a number from 0 to 4"),
        ({"stride": -1}, wordpiece(), r"stride=-1: .*a number from 0 to 95"),
        ({}, wordpiece(model_max_length=128), r"max_length=384: the tokenizer is limited to 128 tokens"),
        ({}, wordpiece(padding_side="left"), r"pads at the left.*set padding_side to 'right'"),
        ({"max_length": 3}, wordpiece(), r"max_length=3: the tokenizer adds 3 special tokens"),
    ],
)
def test_wrong_options_of_windows_are_refused(options: dict[str, Any], tokenizer: Any, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            tokenize_questions(ask("the cat", "cat"), tokenizer, **options)


def test_a_split_keeps_all_windows_of_a_question_together() -> None:
    words = [f"w{number}" for number in range(30)]
    asked = [
        ask(" ".join(words[number % 7 : number % 30 + 1] or ["w0"]), question=f"who w{number // 30}") for number in range(300)
    ]
    items = tokenize_questions(join(*asked), of_words([*words, "who"]), 16, 4)
    assert len(items) > 300
    first, second = split_by_question(items, 0.2)
    numbers = [set(storage(part).question_rows.tolist()) for part in (first, second)]
    assert not numbers[0] & numbers[1]
    assert len(numbers[0]) == 60
    again, _ = split_by_question(items.select(torch.arange(len(items)).flip(0)), 0.2)
    assert set(again.keys.tolist()) == set(first.keys.tolist())
    other, _ = split_by_question(items, 0.2, seed=1)
    assert set(other.keys.tolist()) != set(first.keys.tolist())


def test_a_share_without_questions_is_refused() -> None:
    items = tokenize_questions(ask("the cat", "cat"), TOKENIZERS["wordpiece"])
    with pytest.raises(ValueError, match=r"a share of 0\.2 of 1 questions is 0 of them, and both parts need some"):
        split_by_question(items, 0.2)
