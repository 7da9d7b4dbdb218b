"""Windows of contexts: every answer is found again, and the best span is the best."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.data import (
    Items,
    Questions,
    WindowStorage,
    evaluation_batches,
    extract_answers,
    per_actor_items,
    tokenize,
    tokenize_questions,
)
from limbeck.data.content_keys import text_key
from tests.data.tiny_tokenizers import byte_bpe, of_words, wordpiece

TOKENIZERS = {"wordpiece": wordpiece(), "byte-level": byte_bpe(), "without special tokens": byte_bpe(special=False)}
ALPHABET = "abc é.ñ’😀\n-"


def ask(context: str, answer: str | None = None, question: str = "who is it?", start: int | None = None) -> Questions:
    answers = () if answer is None else ((answer, context.index(answer) if start is None else start),)
    return Questions(("q",), (question,), (context,), (answers,))


def join(*asked: Questions) -> Questions:
    columns = [sum((getattr(one, name) for one in asked), ()) for name in ("ids", "questions", "contexts", "answers")]
    return Questions(*columns)


def storage(items: Items) -> WindowStorage:
    assert isinstance(items.storage, WindowStorage)
    return items.storage


def sure(items: Items) -> list[tuple[Tensor, Tensor]]:
    """What a model says that is sure of the labels: each window on its own, at its own width."""
    said = []
    for row, (first, last) in enumerate((items.target if items.target is not None else torch.tensor([])).tolist()):
        logits = torch.full((1, 2, int(storage(items).lengths[row])), -5.0)
        if last > 0:
            logits[0, 0, first] = logits[0, 1, last] = 5
        said.append((torch.tensor([row]), logits))
    return said


@settings(deadline=None, max_examples=80)
@given(st.data(), st.text(ALPHABET, min_size=1, max_size=60), st.sampled_from(sorted(TOKENIZERS)), st.integers(0, 5))
def test_an_answer_is_found_again(data: st.DataObject, context: str, name: str, stride: int) -> None:
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


def test_the_answer_is_the_text_as_it_is_written() -> None:
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


def test_windows_overlap_and_hold_the_whole_context_once() -> None:
    words = [f"w{number}" for number in range(40)]
    tokenizer = of_words([*words, "who"])
    asked = join(ask(" ".join(words), "w9 w10", "who"), ask("w1 w2", "w2", "who"))
    items = tokenize_questions(asked, tokenizer, max_length=16, stride=4)
    kept = storage(items)
    assert kept.question.tolist() == [0, 0, 0, 0, 0, 1]  # of 12 tokens each, 8 of them new
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
    assert storage(chosen).question.tolist() == [1, 0]
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
def test_an_answer_belongs_to_the_windows_that_hold_all_of_it(answer: str, expected: list[list[int]]) -> None:
    words = [f"w{number}" for number in range(28)]
    items = tokenize_questions(ask(" ".join(words), answer, "who"), of_words([*words, "who"]), max_length=16, stride=4)
    assert items.target is not None
    assert items.target.tolist() == expected


def test_of_equal_spans_the_first_is_the_answer() -> None:
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
def test_the_best_span_over_all_windows(seed: int, longest: int, more: int) -> None:
    words = " ".join(f"w{number}" for number in range(30))
    asked = join(ask(words), ask("w3 w4 w5"), ask(""))
    items = tokenize_questions(asked, of_words([f"w{number}" for number in range(30)]), max_length=24, stride=5)
    generator = torch.Generator().manual_seed(seed)
    said, expected = [], [(-torch.inf, "")] * 3
    for row in torch.randperm(len(items), generator=generator).tolist():
        logits = torch.randn(1, 2, int(storage(items).lengths[row]) + more, generator=generator)
        said.append((torch.tensor([row]), logits))
        question = int(storage(items).question[row])
        spans = storage(items).spans[row].tolist()
        expected[question] = max(expected[question], reference(logits[0], spans, asked.contexts[question], longest))
    assert extract_answers(said, items, asked, longest) == [text for _, text in expected]
    joined = torch.full((len(items), 2, 31), torch.nan)  # all rows as one tensor; what stands in the padding is not read
    for (row,), logits in said:
        joined[row, :, : logits.shape[2]] = logits[0]
    assert extract_answers([(torch.arange(len(items)), joined)], items, asked, longest) == [text for _, text in expected]


def test_answers_are_asked_of_the_windows_there_are() -> None:
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


def test_windows_in_batches() -> None:
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
    said = r"^2 of 3 questions are empty, or their contexts are \(the first: b\); leave them out where"
    with pytest.warns(UserWarning, match=said):
        tokenize_questions(asked, TOKENIZERS["wordpiece"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenize_questions(asked.select([0]), TOKENIZERS["wordpiece"])


# --- two tokenizers --------------------------------------------------------------------------------------------------

PIECES = of_words(["the", "film", "is", "un", "##able"])
WHOLE = of_words(["the", "fi", "##lm", "is", "unable"])


def both(asked: Questions, **options: Any) -> Items:
    return per_actor_items(
        {"student": tokenize_questions(asked, PIECES, **options), "teacher": tokenize_questions(asked, WHOLE, **options)}
    )


def test_splits_of_as_many_tokens_are_told_apart() -> None:
    asked = join(ask("the is", question="is the"), ask("the unable film", question="the"))
    found = both(asked)
    ours, theirs = (found.for_actor(name).storage.lengths for name in ("student", "teacher"))
    assert ours is not None
    assert torch.equal(ours, theirs)  # type: ignore[arg-type]
    assert not found.storage.aligned
    said = "token 4 of window 1, of question q: student 'un' + '##able' …, teacher 'unable' + 'fi' …"
    assert found.storage.first_difference() == said
    part = found.select(torch.tensor([0])).storage
    assert part.aligned
    assert part.first_difference() is None


def test_a_split_of_the_question_counts_too() -> None:
    found = both(ask("the is", question="unable film")).storage
    said = "token 1 of window 0, of question q: student 'un' + '##able' …, teacher 'unable' + 'fi' …"
    assert found.first_difference() == said


def test_of_more_windows_the_first_token_that_differs_is_named() -> None:
    found = both(ask("the unable unable unable unable is", question="the"), max_length=10, stride=2)
    assert len(found.for_actor("student")) > len(found.for_actor("teacher"))
    with pytest.raises(ValueError, match=r"token 4 of window 0, of question q: student 'un' .* read one at a time only\. Give"):
        found.fetch(torch.tensor([0]))


def test_a_space_before_a_word_of_a_context_is_no_difference() -> None:
    from tokenizers import processors

    strict, loose = (byte_bpe(["the film"] * 9) for _ in range(2))
    loose.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=False, add_prefix_space=False
    )
    asked = ask("the film the film", question="the film")
    parts = {"student": tokenize_questions(asked, strict), "teacher": tokenize_questions(asked, loose)}
    assert not torch.equal(storage(parts["student"]).spans.values, storage(parts["teacher"]).spans.values)
    assert per_actor_items(parts).storage.aligned


def test_only_windows_stand_side_by_side() -> None:
    parts = dict.fromkeys(("student", "teacher"), tokenize(Items.from_tensors(["the film"]), PIECES))
    with pytest.raises(ValueError, match=r"expected windows of contexts.*tokenize\(items, \{'student'"):
        per_actor_items(parts).storage.first_difference()


@pytest.mark.parametrize(
    ("options", "tokenizer", "message"),
    [
        ({"max_length": 20, "stride": 9}, wordpiece(), r"stride=9: windows of max_length=20 .*a number from 0 to 8"),
        ({"stride": -1}, wordpiece(), r"stride=-1: .*a number from 0 to 190"),
        ({}, wordpiece(model_max_length=128), r"max_length=384: the tokenizer goes up to 128 tokens"),
        ({}, wordpiece(padding_side="left"), r"pads at the left.*set padding_side to 'right'"),
        ({"max_length": 3}, wordpiece(), r"max_length=3: the tokenizer adds 3 special tokens"),
    ],
)
def test_windows_that_cannot_be(options: dict[str, Any], tokenizer: Any, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            tokenize_questions(ask("the cat", "cat"), tokenizer, **options)
